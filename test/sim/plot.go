package sim

import (
	"fmt"
	"image/color"
	"math/rand/v2"
	"os"

	"github.com/hashicorp/serf/coordinate"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of one panel of a drawing.
const (
	panelWidth  = 18 * vg.Centimeter
	panelHeight = 12 * vg.Centimeter
)

// Plot draws the delays of all algorithms as distributions and, if the product's
// own tree is among them, that of the first run on the plane of RTTs, as SVG.
func (r *TreeReport) Plot(path string, names []string) error {
	if len(names) == 0 {
		names = Algorithms()
	}
	delays := plot.New()
	delays.Title.Text = fmt.Sprintf("Delay from the origin, %d members, %d runs", r.N, len(r.Runs))
	delays.X.Label.Text, delays.Y.Label.Text = "ms", "share of members"
	delays.Legend.Left = false
	delays.Legend.Top = false
	for i, name := range names {
		result, ok := r.Algorithms[name]
		if !ok || len(result.delays) == 0 {
			continue
		}
		line, err := plotter.NewLine(distribution(result.delays))
		if err != nil {
			return fmt.Errorf("plot %s: %w", name, err)
		}
		line.Color, line.Dashes = plotutil.Color(i), plotutil.Dashes(i/7)
		delays.Add(line)
		delays.Legend.Add(name, line)
	}
	panels := []*plot.Plot{delays}
	for _, name := range []string{planned, online} {
		if result, ok := r.Runs[0].Algorithms[name]; ok {
			tree, err := r.Runs[0].world.drawTree(result.parents)
			if err != nil {
				return err
			}
			tree.Title.Text = name + " on the plane of round-trip times (first run)"
			panels = append(panels, tree)
			break
		}
	}
	return save(path, panels)
}

// Plot draws the delay over its bound, and the members present, in time.
func (r *ChurnReport) Plot(path string) error {
	over, members := plot.New(), plot.New()
	over.Title.Text = fmt.Sprintf("%s under %s churn", r.Policy, r.Trace)
	over.X.Label.Text, over.Y.Label.Text = "hours", "average delay / bound"
	members.X.Label.Text, members.Y.Label.Text = "hours", "members"
	for i, run := range r.Runs {
		ratio, count := make(plotter.XYs, len(run.Samples)), make(plotter.XYs, len(run.Samples))
		for k, s := range run.Samples {
			ratio[k] = plotter.XY{X: s.Hour, Y: s.AvgOverBound}
			count[k] = plotter.XY{X: s.Hour, Y: float64(s.Members)}
		}
		for _, x := range []struct {
			p   *plot.Plot
			xys plotter.XYs
		}{{over, ratio}, {members, count}} {
			if len(x.xys) == 0 {
				continue
			}
			line, err := plotter.NewLine(x.xys)
			if err != nil {
				return fmt.Errorf("plot run %d: %w", i+1, err)
			}
			line.Color = plotutil.Color(i)
			x.p.Add(line)
		}
	}
	return save(path, []*plot.Plot{over, members})
}

// distribution is the share of values up to each of them; sorted ascends.
func distribution(sorted []float64) plotter.XYs {
	const points = 400
	step := max(1, len(sorted)/points)
	var xys plotter.XYs
	for i := 0; i < len(sorted); i += step {
		xys = append(xys, plotter.XY{X: sorted[i], Y: float64(i+1) / float64(len(sorted))})
	}
	return append(xys, plotter.XY{X: sorted[len(sorted)-1], Y: 1})
}

// drawTree places members by two-dimensional coordinates, so that distance on
// paper resembles RTT, and colours edges by the depth at which they end.
func (w *World) drawTree(parent []int) (*plot.Plot, error) {
	at, err := w.plane()
	if err != nil {
		return nil, err
	}
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "ms", "ms"
	_, depth := w.delays(parent)
	deepest := 1
	for _, d := range depth {
		deepest = max(deepest, d)
	}
	colours := moreland.SmoothBlueRed().Palette(deepest + 1).Colors()
	for v, u := range parent {
		if u < 0 {
			continue
		}
		line, err := plotter.NewLine(plotter.XYs{at[u], at[v]})
		if err != nil {
			return nil, fmt.Errorf("draw tree: %w", err)
		}
		line.Color, line.Width = colours[depth[v]], vg.Points(0.5)
		p.Add(line)
	}
	dots, err := plotter.NewScatter(at)
	if err != nil {
		return nil, fmt.Errorf("draw tree: %w", err)
	}
	dots.GlyphStyleFunc = func(v int) draw.GlyphStyle {
		style := draw.GlyphStyle{Color: color.Gray{Y: 90}, Radius: vg.Points(1.2), Shape: draw.CircleGlyph{}}
		if parent[v] < 0 {
			style = draw.GlyphStyle{Color: color.Black, Radius: vg.Points(5), Shape: draw.RingGlyph{}}
		}
		return style
	}
	p.Add(dots)
	return p, nil
}

// plane finds a position on paper for every member.
func (w *World) plane() (plotter.XYs, error) {
	const rounds, perRound = 60, 8
	config := coordinate.DefaultConfig()
	config.Dimensionality = 2
	clients := make([]*coordinate.Client, w.Size())
	for i := range clients {
		var err error
		if clients[i], err = coordinate.NewClient(config); err != nil {
			return nil, fmt.Errorf("coordinates: %w", err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range rounds * perRound {
		for i, c := range clients {
			if j := rng.IntN(len(clients)); j != i {
				// The coordinates of others are always valid; an update only fails
				// for RTTs beyond 10 s, which then count for nothing.
				_, _ = c.Update(string(memberID(j)), clients[j].GetCoordinate(), duration(w.RTT[i][j]))
			}
		}
	}
	at := make(plotter.XYs, len(clients))
	for i, c := range clients {
		vec := c.GetCoordinate().Vec
		at[i] = plotter.XY{X: 1000 * vec[0], Y: 1000 * vec[1]}
	}
	return at, nil
}

// save writes panels above one another into one SVG file.
func save(path string, panels []*plot.Plot) error {
	height := panelHeight * vg.Length(len(panels))
	svg := vgsvg.New(panelWidth, height)
	canvas := draw.New(svg)
	for i, p := range panels {
		top := height - panelHeight*vg.Length(i)
		p.Draw(draw.Canvas{Canvas: canvas.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: 0, Y: top - panelHeight}, Max: vg.Point{X: panelWidth, Y: top},
		}})
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if _, err := svg.WriteTo(file); err != nil {
		file.Close()
		return fmt.Errorf("plot %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("plot %s: %w", path, err)
	}
	return nil
}
