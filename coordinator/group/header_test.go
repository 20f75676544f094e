package group

import (
	"bytes"
	"testing"
)

// What a stranger begins a connection with is refused, or is exactly what asks for
// the region it names; nothing that follows is read.
func FuzzReadHeader(f *testing.F) {
	f.Add(appendHeader(nil, "r1"))
	f.Add(append(appendHeader(nil, ""), "raft"...))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		id, err := readHeader(r)
		if err != nil {
			if id != "" {
				t.Errorf("%q, %v", id, err)
			}
			return
		}
		want := appendHeader(nil, id)
		if !bytes.HasPrefix(b, want) || r.Len() != len(b)-len(want) {
			t.Errorf("%x asks for %q, %d bytes left", b, id, r.Len())
		}
	})
}
