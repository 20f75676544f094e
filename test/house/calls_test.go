package house

import (
	"go/ast"
	"slices"
	"testing"
)

// bannedTime are the functions of package time that read or wait on a clock.
var bannedTime = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

// Time and chance are arguments in the pure rooms, so that every replica, test
// and replay decides alike.
func TestPureRoomsReadNoClockAndDrawNoLots(t *testing.T) {
	for _, p := range packages(t) {
		if !p.in("region", "reorg") {
			continue
		}
		for _, s := range sources(t, p, p.GoFiles) {
			ast.Inspect(s.file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s: a goroutine in a pure room", s.line(n))
				case *ast.SelectorExpr:
					x, ok := n.X.(*ast.Ident)
					if !ok || x.Obj != nil {
						break // a variable, not a package
					}
					if x.Name == "time" && slices.Contains(bannedTime, n.Sel.Name) {
						t.Errorf("%s: time.%s in a pure room; take the time as an argument", s.line(n), n.Sel.Name)
					}
					if x.Name == "rand" && !slices.Contains([]string{"Rand", "Source", "New", "NewPCG"}, n.Sel.Name) {
						t.Errorf("%s: rand.%s in a pure room; take a *rand.Rand as an argument", s.line(n), n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		docs := 0
		for _, s := range sources(t, p, p.GoFiles) {
			if s.file.Doc != nil && !s.generated() {
				docs++
			}
		}
		if len(p.GoFiles) > 0 && docs != 1 {
			t.Errorf("%s has %d package comments, want one, in doc.go", p.room(), docs)
		}
	}
}

// Lengths beyond which a file or function needs a reason.
const (
	longFile     = 300
	longFunction = 70
)

// TestLengths reports; run it with -v to read. It fails only far beyond what a
// reason can excuse.
func TestLengths(t *testing.T) {
	const absurdFile, absurdFunction = 600, 150
	for _, p := range packages(t) {
		for _, s := range sources(t, p, p.GoFiles) {
			if s.generated() {
				continue
			}
			lines := s.set.Position(s.file.End()).Line
			switch {
			case lines > absurdFile:
				t.Errorf("%s has %d lines", s.path, lines)
			case lines > longFile:
				t.Logf("%s has %d lines", s.path, lines)
			}
			for _, d := range s.file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line
				switch {
				case n > absurdFunction:
					t.Errorf("%s: %s has %d lines", s.line(f), f.Name.Name, n)
				case n > longFunction:
					t.Logf("%s: %s has %d lines", s.path, f.Name.Name, n)
				}
			}
		}
	}
}
