package relay

import (
	"testing"
	"time"

	"github.com/skein-mesh/skein/member/link"
)

// Who has learned that answers take long, be it from one that came too late, waits longer for
// the next ones, and no longer than need be once they are quick again.
func TestAnswersAreWaitedForAsLongAsTheyTake(t *testing.T) {
	k := &keeper{r: &Relay{cfg: Config{Late: func() time.Duration { return 0 }}}}
	u := &upstream{link: new(link.Link)}
	answer := func(after time.Duration) {
		u.waits = true
		k.timed(u, u.since+int64(after))
		k.timed(u, u.since+int64(time.Hour)) // to the same Draw, repeated
	}
	for _, c := range []struct{ after, want time.Duration }{
		{20 * time.Millisecond, answerTime},
		{300 * time.Millisecond, 600 * time.Millisecond},
		{2 * time.Second, answerMost},
	} {
		answer(c.after)
		if got := k.patience(u); got != c.want {
			t.Errorf("after an answer that took %v the next one is waited for for %v, want %v", c.after, got, c.want)
		}
	}
	for range 30 {
		answer(20 * time.Millisecond)
	}
	if got := k.patience(u); got != answerTime {
		t.Errorf("answers are quick again, and waited for for %v", got)
	}
}
