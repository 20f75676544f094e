package forest

// A Shift hangs a node under a parent.
type Shift struct{ Node, Parent int32 }

// Shift carries out several shifts as one, whatever their order, and returns
// what they gain. If they would close a loop or leave a parent with too many
// children, it returns false and everything stays as it was.
func (f *Forest) Shift(shifts []Shift) (gain float64, ok bool) {
	return f.shiftIf(shifts, f.fits)
}

// shiftIf is Shift with another condition on what it leads to.
func (f *Forest) shiftIf(shifts []Shift, fits func() bool) (gain float64, ok bool) {
	before := f.total
	f.Mark()
	for _, s := range shifts {
		f.journal = append(f.journal, was{s.Node, f.nodes[s.Node].parent})
		f.unlink(s.Node)
	}
	linked := 0
	for _, s := range shifts {
		if f.under(s.Parent, s.Node) {
			break
		}
		f.link(s.Node, s.Parent)
		linked++
	}
	if linked == len(shifts) && fits() {
		return before - f.total, true
	}
	for _, s := range shifts[:linked] {
		f.unlink(s.Node)
	}
	for _, w := range f.journal {
		f.link(w.node, w.parent)
	}
	f.total = before
	return 0, false
}

// under is Below for nodes whose delays are not up to date.
func (f *Forest) under(p, v int32) bool {
	for ; p != None; p = f.nodes[p].parent {
		if p == v {
			return true
		}
	}
	return false
}
