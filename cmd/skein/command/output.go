package command

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes v as JSON, or what table writes into aligned columns (cells
// separated by tabs).
func (a *app) print(v any, table func(w io.Writer)) error {
	if a.output == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// row writes one line of a table. Its errors come up when the table is flushed.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			_, _ = io.WriteString(w, "\t")
		}
		_, _ = fmt.Fprint(w, c)
	}
	_, _ = io.WriteString(w, "\n")
}

// kbps is a rate as people write it.
func kbps(n uint32) string {
	if n >= 10_000 {
		return fmt.Sprintf("%.1f Mbit/s", float64(n)/1000)
	}
	return fmt.Sprintf("%d kbit/s", n)
}

func millis(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }

// jsonLine writes v as JSON on a line of its own, for what never ends.
func (a *app) jsonLine(v any) error { return json.NewEncoder(a.out).Encode(v) }
