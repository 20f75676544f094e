package command

import (
	"errors"
	"testing"

	"github.com/skein-mesh/skein/region"
)

func TestPlacesOfMixesAreRead(t *testing.T) {
	for _, at := range []string{"plaza", "plaza@", "plaza@1", "plaza@1,", "plaza@x,2", "@,"} {
		if _, err := (&mixFlags{at: at, radius: 30, voices: 8}).config(); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%q: %v", at, err)
		}
	}
	if c, err := (&mixFlags{}).config(); c != nil || err != nil {
		t.Errorf("nobody wants a mix: %v, %v", c, err)
	}
	c, err := (&mixFlags{at: "plaza@10,-4.5", facing: 90, radius: 12, voices: 3}).config()
	if _, none := opusCodec(); none != nil {
		if err == nil || err.Error() != none.Error() {
			t.Errorf("without Opus: %v", err)
		}
		return
	}
	if err != nil || c.Space.ID != "plaza" || c.Place.X != 10 || c.Place.Y != -4.5 || c.Radius != 12 || c.Loudest.Max != 3 || c.Stream != "plaza/mix" {
		t.Errorf("%+v, %v", c, err)
	}
}
