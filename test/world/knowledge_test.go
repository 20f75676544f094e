package world

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric is what a coordinator tells people of itself; -1 if it says nothing of it.
func (s *seat) metric(name string) float64 {
	answer := httptest.NewRecorder()
	s.server.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if of, ok := strings.CutPrefix(line, name+"{"); ok {
			_, value, _ := strings.Cut(of, "} ")
			return must(strconv.ParseFloat(strings.TrimSpace(value), 64))
		}
	}
	return -1
}

// What was measured is soft state of the leader, but not lost with it: members tell
// the next one within a minute, and nobody is moved because of that.
func TestANewLeaderIsToldWhatWasMeasured(t *testing.T) {
	long(t)
	afar(t, 30, func(w *world, know *ways, list []*viewer) {
		w.good(know, 90*time.Second)
		time.Sleep(3 * time.Minute)
		dead := w.leader()
		known := dead.metric("skein_rtt_pairs")
		count := w.moves("stage")
		dead.kill()
		time.Sleep(time.Minute)
		told := w.leader().metric("skein_rtt_pairs")
		t.Logf("%v ways were known, %v a minute later", known, told)
		if all := float64(30 * 29 / 2); known < 0.9*all || told < 0.95*known {
			t.Errorf("of %v ways %v were known, and a minute later %v", all, known, told)
		}
		time.Sleep(4 * time.Minute)
		if n := count(); n > 2 {
			t.Errorf("%d members were moved because there is another leader", n)
		}
		dead.start()
		w.settled()
		w.unbroken(list, parted)
	})
}
