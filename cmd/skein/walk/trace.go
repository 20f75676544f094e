package walk

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// scale is by how much a trace is enlarged: pedestrians on a square of 17 m
	// become a crowd on one of 170.
	scale = 10
	// frames per second of the video a trace was taken from.
	frames = 25
	// scene is how many are on one scene; more people walk on several, side by side.
	scene = 38
	// margin between two scenes, in metres.
	margin = 10
	// hurry is how fast somebody goes who has left the scene on the way to where the
	// next one of the trace enters it, in metres per second.
	hurry = 15
	// rest is the time at the end in which everybody goes back to the beginning.
	rest = 40 * time.Second
	// maxTrace bounds a trace, in bytes.
	maxTrace = 64 << 20
)

// A figure is one person of a trace.
type figure path

func (f figure) first() stop { return f[0] }

// traced lets people walk as in a file in the format of UCY (Lerner, Chrysanthou,
// Lischinski: Crowds by Example, 2007): lines of "frame person x z y vx vz vy",
// possibly compressed by gzip.
func traced(name string, people int) (*Walk, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	figures, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return stage(figures, people), nil
}

func read(file io.Reader) ([]figure, error) {
	buffered := bufio.NewReader(file)
	var r io.Reader = buffered
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", region.ErrInvalid, err)
		}
		r = unpacked
	}
	people := make(map[int]figure)
	lines := bufio.NewScanner(io.LimitReader(r, maxTrace))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		var v [8]float64
		if len(fields) != len(v) {
			return nil, fmt.Errorf("line %d: %w: want 8 numbers, have %d", n, region.ErrInvalid, len(fields))
		}
		for i, s := range fields {
			var err error
			if v[i], err = strconv.ParseFloat(s, 64); err != nil || math.IsNaN(v[i]) || math.Abs(v[i]) > 1e6 {
				return nil, fmt.Errorf("line %d: %w: %.20q is no number that can be", n, region.ErrInvalid, s)
			}
		}
		who := int(v[1])
		at := time.Duration(v[0] / frames * float64(time.Second))
		people[who] = append(people[who], stop{at: at, x: v[2] * scale, y: v[4] * scale})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", region.ErrInvalid, err)
	}
	var list []figure
	for _, f := range people {
		slices.SortFunc(f, func(a, b stop) int { return cmp.Compare(a.at, b.at) })
		list = append(list, f)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: nobody walks in it", region.ErrInvalid)
	}
	slices.SortFunc(list, func(a, b figure) int {
		return cmp.Or(cmp.Compare(a.first().at, b.first().at), cmp.Compare(a.first().x, b.first().x), cmp.Compare(a.first().y, b.first().y))
	})
	return list, nil
}

// stage spreads people over as many scenes as they need. Each scene shows the trace,
// another part of it; each of its people is one figure after the other.
func stage(figures []figure, people int) *Walk {
	left, bottom, right, top := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	var end time.Duration
	for _, f := range figures {
		for _, s := range f {
			left, right, bottom, top = min(left, s.x), max(right, s.x), min(bottom, s.y), max(top, s.y)
			end = max(end, s.at)
		}
	}
	wide, high := right-left+margin, top-bottom+margin
	scenes := max(1, (people+scene/2)/scene)
	columns := int(math.Ceil(math.Sqrt(float64(scenes))))
	rows := (scenes + columns - 1) / columns
	w := &Walk{period: end + rest, Width: wide * float64(columns), Height: high * float64(rows)}
	for k := range scenes {
		cast := chain(figures, (people*(k+1))/scenes-(people*k)/scenes)
		dx := wide*float64(k%columns) - left + margin/2
		dy := high*float64(k/columns) - bottom + margin/2
		shift := w.period * time.Duration(k) / time.Duration(scenes)
		for _, p := range cast {
			for i := range p {
				p[i].x, p[i].y, p[i].at = p[i].x+dx, p[i].y+dy, (p[i].at+shift)%w.period
			}
			slices.SortFunc(p, func(a, b stop) int { return cmp.Compare(a.at, b.at) })
			w.paths = append(w.paths, p)
		}
	}
	return w
}

// chain gives each of so many people figures to be, one after the other: whoever is
// free and can walk there becomes the next that enters the scene.
func chain(figures []figure, people int) []path {
	cast := make([]path, people)
	for _, f := range figures {
		best, nearest := -1, math.Inf(1)
		for i, p := range cast {
			d := 0.0
			if len(p) > 0 {
				last := p[len(p)-1]
				if d = math.Hypot(f.first().x-last.x, f.first().y-last.y); f.first().at <= last.at || lasts(d, hurry) > f.first().at-last.at {
					continue
				}
			}
			if d < nearest {
				best, nearest = i, d
			}
		}
		if best >= 0 {
			cast[best] = append(cast[best], f...)
		}
	}
	for i := range cast {
		if len(cast[i]) == 0 { // more people than the trace has: they stand where it begins
			cast[i] = path{figures[i%len(figures)].first()}
		}
	}
	return cast
}
