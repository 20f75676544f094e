package coordinator

import "time"

// A way is news if its round trip takes longer, or less long, by newsShare and
// newsLeast than trees were made for: what a network does without having changed
// is less.
const (
	newsShare = 0.2
	newsLeast = 5 * time.Millisecond
)

// compare finds out whether a pair is news. A way that is as it was when trees were
// made for it is none, whatever was heard of it in between, or for how long nothing
// was. It is called with mu held.
func (r *rtts) compare(s *sample, rtt time.Duration) {
	news := s.heeded == 0 ||
		longer(rtt, s.heeded, newsShare, newsLeast) || longer(s.heeded, rtt, newsShare, newsLeast)
	if news == s.news {
		return
	}
	s.news = news
	if news {
		r.news++
	} else {
		r.news--
	}
}

// learnt counts the pairs of which something else is known than what was heeded.
func (r *rtts) learnt() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.news
}

// heed makes what is known what trees are made for.
func (r *rtts) heed(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w, s := range r.ways {
		if !s.news {
			continue // small differences add up until they are news
		}
		if rtt, _ := s.rtt(r.since(w), now); rtt > 0 {
			s.heeded, s.news = rtt, false
		}
	}
	r.news = 0
}
