package planet

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// WritePage writes the reports as one HTML page with a table and plots, which
// needs nothing else to be shown.
func WritePage(out io.Writer, reports []*Report) error {
	var pictures []template.HTML
	for _, draw := range []func([]*Report) (*plot.Plot, error){
		sizes("delay over bound", func(r *Report) float64 { return r.OverBound }),
		sizes("stretch (delay over direct unicast)", func(r *Report) float64 { return r.Stretch }),
		sizes("control bytes per member and second", func(r *Report) float64 { return r.ControlPerMember }),
		sizes("control bytes per coordinator and second", func(r *Report) float64 { return r.ControlPerCoordinator }),
		sizes("directory bytes per coordinator and second", func(r *Report) float64 { return r.DirectoryPerCoordinator }),
		sizes("memory per coordinator, MiB", func(r *Report) float64 { return r.Cost.CoordinatorMiB }),
		sizes("admission, p99, ms", func(r *Report) float64 { return r.AdmitP99MS }),
		sizes("share of orphans repaired by standbys", func(r *Report) float64 { return r.StandbyRate }),
		sizes("gap of an orphan, p99, ms", func(r *Report) float64 { return r.GapP99MS }),
		sizes("regions", func(r *Report) float64 { return float64(r.Regions) }),
		sizes("cost: CPU seconds", func(r *Report) float64 { return r.Cost.CPUS }),
		times("delay over bound", func(s Sample) float64 { return s.OverBound }),
		times("relay load (share of uplink in use)", func(s Sample) float64 { return s.Load }),
		times("refusals since the sample before", func(s Sample) float64 { return float64(s.Refused) }),
		times("splits and merges since the sample before", func(s Sample) float64 { return float64(s.Splits + s.Merges) }),
	} {
		p, err := draw(reports)
		if err != nil {
			return err
		}
		picture, err := svg(p)
		if err != nil {
			return err
		}
		pictures = append(pictures, picture)
	}
	return page.Execute(out, struct {
		Reports  []*Report
		Pictures []template.HTML
	}{reports, pictures})
}

// sizes plots a figure against the size of the world.
func sizes(title string, of func(*Report) float64) func([]*Report) (*plot.Plot, error) {
	return func(reports []*Report) (*plot.Plot, error) {
		p := plot.New()
		p.Title.Text, p.X.Label.Text = title, "members"
		var points plotter.XYs
		for _, r := range reports {
			if y := of(r); r.Members > 0 && !math.IsInf(y, 0) && !math.IsNaN(y) {
				points = append(points, plotter.XY{X: float64(r.Members), Y: y})
			}
		}
		if len(points) > 1 {
			p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{}
		}
		p.Y.Min = 0
		return p, plotutil.AddLinePoints(p, points)
	}
}

// times plots a figure against time, one line per world.
func times(title string, of func(Sample) float64) func([]*Report) (*plot.Plot, error) {
	return func(reports []*Report) (*plot.Plot, error) {
		p := plot.New()
		p.Title.Text, p.X.Label.Text = title, "seconds"
		for i, r := range reports {
			var points plotter.XYs
			for _, s := range r.Samples {
				points = append(points, plotter.XY{X: s.Seconds, Y: of(s)})
			}
			if len(points) == 0 {
				continue
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return nil, fmt.Errorf("plot %s: %w", title, err)
			}
			line.Color = plotutil.Color(i)
			p.Add(line)
			p.Legend.Add(fmt.Sprint(r.Members), line)
		}
		p.Y.Min = 0
		return p, nil
	}
}

func svg(p *plot.Plot) (template.HTML, error) {
	canvas := vgsvg.New(14*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", fmt.Errorf("plot: %w", err)
	}
	_, text, _ := bytes.Cut(b.Bytes(), []byte("?>")) // an XML declaration has no place in HTML
	return template.HTML(text), nil                  //nolint:gosec // drawn here from numbers
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>skein sim world</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid #ddd}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:1rem;margin-top:2rem}
.plots svg{width:100%;height:auto}
</style></head><body>
<h1>Simulated worlds</h1>
<table><tr><th>members<th>regions<th>delay ms<th>over bound<th>stretch<th>relay load<th>orphans<th>by standby<th>gap p99 ms<th>admissions<th>refusals<th>admission p99 ms<th>B/s member<th>kB/s coordinator<th>MiB coordinator<th>splits<th>merges<th>CPU s</tr>
{{range .Reports}}<tr><td>{{.Members}}<td>{{.Regions}}<td>{{printf "%.1f" .AvgMS}}<td>{{printf "%.3f" .OverBound}}<td>{{printf "%.3f" .Stretch}}<td>{{printf "%.2f" .Load}}<td>{{.Orphans}}<td>{{printf "%.4f" .StandbyRate}}<td>{{printf "%.0f" .GapP99MS}}<td>{{.Admissions}}<td>{{.Refusals}}<td>{{printf "%.0f" .AdmitP99MS}}<td>{{printf "%.0f" .ControlPerMember}}<td>{{printf "%.0f" .CoordinatorKB}}<td>{{printf "%.1f" .Cost.CoordinatorMiB}}<td>{{.Splits}}<td>{{.Merges}}<td>{{printf "%.0f" .Cost.CPUS}}</tr>
{{end}}</table>
<div class="plots">{{range .Pictures}}<div>{{.}}</div>
{{end}}</div></body></html>
`))

// CoordinatorKB is ControlPerCoordinator in kilobytes.
func (r *Report) CoordinatorKB() float64 { return r.ControlPerCoordinator / 1000 }
