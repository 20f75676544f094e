package link

import "time"

const (
	// lateness of the pulse goroutine itself beyond which it trusts no silence,
	// for the readers were held up too. It lasts for recovery, at most so often
	// in a row.
	lateness    = 20 * time.Millisecond
	recovery    = 40 * time.Millisecond
	maxRecovery = 5
	// backlog is how long a verdict of silence waits for what has arrived but was not read
	// yet: the peer may be heard in it.
	backlog = time.Second
	// forget is how long the lateness of the past is remembered.
	forget = time.Second
)

// A watch is what the pulse goroutine knows of how late this process is. The zero value is
// ready.
type watch struct {
	looked  int64 // when it looked last
	late    int64 // peak of how late beats and readers were, falling slowly
	trusted int64 // from when on silence is trusted
	// unread is since when something waits in the socket; 0: nothing does.
	unread     int64
	recoveries int
}

// look takes the time, for when the beat was due (0: it is the first), and whether something
// waits in the socket.
func (w *watch) look(now, due int64, unread bool) {
	w.late -= w.late * min(now-w.looked, int64(forget)) / int64(forget)
	w.looked = now
	switch {
	case !unread:
		w.unread = 0
	case w.unread == 0:
		w.unread = now
	default:
		w.late = max(w.late, now-w.unread)
	}
	if due == 0 {
		return
	}
	w.late = max(w.late, now-due)
	if now-due > int64(lateness) && w.recoveries < maxRecovery {
		w.trusted = now + int64(recovery)
		w.recoveries++
	} else if now >= w.trusted {
		w.recoveries = 0
	}
}

// trusts says whether silence is the peer's: whatever came has been read.
func (w *watch) trusts(now int64) bool {
	return now >= w.trusted && (w.unread == 0 || now-w.unread > int64(backlog))
}
