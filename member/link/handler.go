package link

// A Handler takes what links receive. Its methods must not block.
type Handler interface {
	// Wanted tells whether media of that SSRC may come from anybody at all. It
	// is asked before decryption, by the socket's goroutine.
	Wanted(ssrc uint32) bool
	// Packet takes a media packet. It is called by the socket's goroutine; p is
	// valid during the call only.
	Packet(l *Link, h Header, p []byte)
	// Drained is called by the socket's goroutine before it asks the kernel for
	// more.
	Drained()
	// Message takes a control message other than those the link sees to itself.
	// It is called by the socket's goroutine; m may be kept.
	Message(l *Link, m *Message)
	// Changed says that the state of l has changed.
	Changed(l *Link)
	// Offended names a peer that misbehaves; see Offence. It says so again after a while
	// if that goes on.
	Offended(l *Link, o Offence, perSecond int)
}

// nobody is the Handler of a transport that has none.
type nobody struct{}

func (nobody) Wanted(uint32) bool           { return false }
func (nobody) Packet(*Link, Header, []byte) {}
func (nobody) Drained()                     {}
func (nobody) Message(*Link, *Message)      {}
func (nobody) Changed(*Link)                {}
func (nobody) Offended(*Link, Offence, int) {}
