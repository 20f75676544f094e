package coordinator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// rosterFile is the name of a roster in the data folder.
const rosterFile = "groups.json"

// A roster remembers over restarts which groups came and went at run time, since
// the configuration names only those of the beginning. Its user serialises calls.
type roster struct {
	path       string
	configured []Group
	kept       rosterKept
}

type rosterKept struct {
	// Hosted came at run time.
	Hosted []Group `json:"hosted"`
	// Dropped are named by the configuration, or by a parent's log, but are over.
	Dropped []region.ID `json:"dropped"`
}

// openRoster reads the roster in dir; a missing one is empty.
func openRoster(dir string, configured []Group) (*roster, error) {
	r := &roster{path: filepath.Join(dir, rosterFile), configured: configured}
	data, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r.kept)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w: restore it, or remove it and name all groups in the configuration", r.path, trust.ErrDamaged, err)
	}
	return r, nil
}

// Hosted lists the groups that a coordinator with this data folder was given at run time
// and would host if it was started; none if there is no such folder.
func Hosted(dataDir string) ([]Group, error) {
	r, err := openRoster(dataDir, nil)
	if err != nil {
		return nil, err
	}
	return r.groups(), nil
}

// groups are those to host.
func (r *roster) groups() []Group {
	var list []Group
	for _, g := range slices.Concat(r.configured, r.kept.Hosted) {
		known := slices.ContainsFunc(list, func(x Group) bool { return x.Region == g.Region })
		if !known && !slices.Contains(r.kept.Dropped, g.Region) {
			list = append(list, g)
		}
	}
	return list
}

// dropped reports whether a group was hosted here, and is over.
func (r *roster) dropped(id region.ID) bool { return slices.Contains(r.kept.Dropped, id) }

func (r *roster) add(g Group) error {
	next := r.without(g.Region)
	next.Hosted = append(next.Hosted, g)
	return r.write(next)
}

// undo takes back an add of a group that then could not be hosted. It is not over.
func (r *roster) undo(id region.ID) error { return r.write(r.without(id)) }

// remove notes that a group is over.
func (r *roster) remove(id region.ID) error {
	next := r.without(id)
	named := func(g Group) bool { return g.Region == id }
	child := func(g Group) bool { return g.Region == id && g.Child }
	if slices.ContainsFunc(r.configured, named) || slices.ContainsFunc(r.kept.Hosted, child) {
		next.Dropped = append(next.Dropped, id)
	}
	return r.write(next)
}

func (r *roster) without(id region.ID) rosterKept {
	return rosterKept{
		Hosted:  slices.DeleteFunc(slices.Clone(r.kept.Hosted), func(g Group) bool { return g.Region == id }),
		Dropped: slices.DeleteFunc(slices.Clone(r.kept.Dropped), func(x region.ID) bool { return x == id }),
	}
}

// write replaces the file whole: it is read after a crash.
func (r *roster) write(next rosterKept) error {
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := trust.WriteFile(r.path, data, 0o600); err != nil {
		return fmt.Errorf("remember the groups: %w", err)
	}
	r.kept = next
	return nil
}
