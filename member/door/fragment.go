package door

import (
	"fmt"
	"strings"
)

// A fragment is the body of a PATCH, application/trickle-ice-sdpfrag (RFC 8840):
// candidates of the client and the credentials they belong to.
type fragment struct {
	ufrag, pwd string
	candidates []candidate
	// end says that no more candidates will come.
	end bool
}

// A candidate is the value of an a=candidate line, and the m-line it came with.
type candidate struct{ mid, value string }

// parseFragment reads a fragment. What it does not know it skips, as RFC 8840
// asks; it reports errMalformed for lines that are no SDP, credentials that
// contradict one another, or more than maxCandidates.
func parseFragment(body string) (fragment, error) {
	var f fragment
	mid := ""
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' {
			return f, fmt.Errorf("%w: %.40q is no line of SDP", errMalformed, line)
		}
		if line[0] == 'm' {
			mid = ""
		}
		if line[0] != 'a' {
			continue
		}
		key, value, _ := strings.Cut(line[2:], ":")
		if err := f.attribute(key, value, &mid); err != nil {
			return f, err
		}
	}
	if (f.ufrag == "") != (f.pwd == "") {
		return f, fmt.Errorf("%w: ice-ufrag and ice-pwd come together or not at all", errMalformed)
	}
	return f, nil
}

func (f *fragment) attribute(key, value string, mid *string) error {
	switch key {
	case "mid":
		*mid = value
	case "ice-ufrag":
		return set(&f.ufrag, value, 4)
	case "ice-pwd":
		return set(&f.pwd, value, 22)
	case "end-of-candidates":
		f.end = true
	case "candidate":
		if len(f.candidates) == maxCandidates {
			return fmt.Errorf("%w: more than %d candidates", errMalformed, maxCandidates)
		}
		f.candidates = append(f.candidates, candidate{*mid, value})
	}
	return nil
}

// set takes a credential, the same for all m-lines, since they are bundled. least
// and 256 are the bounds of RFC 8839.
func set(have *string, value string, least int) error {
	for _, c := range []byte(value) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%w: ICE credential %.40q", errMalformed, value)
		}
	}
	if len(value) < least || len(value) > 256 || (*have != "" && *have != value) {
		return fmt.Errorf("%w: ICE credential of %d bytes, or two that differ", errMalformed, len(value))
	}
	*have = value
	return nil
}

// usable tells whether a candidate can be tried here: UDP, or TCP that this end
// would have to open, are skipped by those who cannot, without a word.
func (c candidate) usable() bool {
	fields := strings.Fields(c.value)
	return len(fields) >= 8 && strings.EqualFold(fields[2], "udp") && fields[6] == "typ"
}

// answerTo is the fragment with which an ICE restart is answered: the credentials
// and candidates of a local description, for its first m-line, which carries the
// bundle.
func answerTo(local string) string {
	var b strings.Builder
	var media, mid string
	var session, lines []string
	for line := range strings.Lines(local) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "m="):
			if media != "" {
				return finishFragment(&b, session, media, mid, lines)
			}
			media = line
		case strings.HasPrefix(line, "a=mid:") && mid == "":
			mid = line
		case strings.HasPrefix(line, "a=group:"), strings.HasPrefix(line, "a=ice-options:"):
			session = append(session, line)
		case strings.HasPrefix(line, "a=ice-ufrag:"), strings.HasPrefix(line, "a=ice-pwd:"),
			strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=end-of-candidates"):
			lines = append(lines, line)
		}
	}
	return finishFragment(&b, session, media, mid, lines)
}

func finishFragment(b *strings.Builder, session []string, media, mid string, lines []string) string {
	write := func(list ...string) {
		for _, l := range list {
			b.WriteString(l + "\r\n")
		}
	}
	write(session...)
	write(media, mid)
	write(lines...)
	return b.String()
}
