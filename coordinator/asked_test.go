package coordinator

import (
	"context"
	"io"
	"net"
	"testing"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
)

// Whatever a node with a certificate asks of a coordinator that leads, by any method or
// over a line, it is carried out or refused with a reason: the coordinator is never at a
// loss, and its structure stays sound.
func FuzzAsked(f *testing.F) {
	c := foundCluster(f, 1, func(cfg *Config) { cfg.BatchDelay, cfg.Network = 0, secluded{} })
	s := c.servers[c.leader()]
	list := methods(s)
	for i, m := range list {
		f.Add(byte(i), []byte(nil))
		_, _ = m.handler(m.server, f.Context(), func(q any) error {
			f.Add(byte(i), filled(f, q.(proto.Message)))
			return io.EOF
		}, nil)
	}
	origin, caller := c.participant(100000), c.participant(5000)
	origin.join()
	origin.publish("cam")
	caller.join()
	f.Cleanup(func() { c.t = f })
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		c.t = t
		if _, ok := s.Region("r1").Member(caller.id()); !ok {
			caller.join()
		}
		m := list[int(which)%len(list)]
		var garbled error // gRPC says so itself
		_, err := m.handler(m.server, m.by(t.Context(), caller), func(q any) error {
			garbled = proto.Unmarshal(raw, q.(proto.Message))
			settle(q.(proto.Message), caller.lease)
			return garbled
		}, nil)
		if garbled == nil && status.Code(skeinv1.ToStatus(err)) == codes.Internal {
			t.Errorf("%s: %v", m.name, err)
		}
		if err := s.Region("r1").Check(); err != nil {
			t.Error(err)
		}
	})
}

// secluded is the network of a coordinator that reaches nobody, whomever it is told to
// call.
type secluded struct{ SystemNetwork }

func (secluded) Dial(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }

// A method is a call that is answered, and how it is served.
type method struct {
	name    string
	server  any
	handler grpc.MethodHandler
}

// methods are all that s serves, in an order that does not change: last the line, of
// which one message is a call here.
func methods(s *Server) (list []method) {
	for _, served := range []struct {
		desc   grpc.ServiceDesc
		server any
	}{
		{skeinv1.Enrolment_ServiceDesc, &enrolment{server: s}},
		{skeinv1.Membership_ServiceDesc, &membership{server: s}},
		{skeinv1.Directory_ServiceDesc, &atlas{server: s}},
		{skeinv1.Inspection_ServiceDesc, &inspection{server: s}},
	} {
		for _, m := range served.desc.Methods {
			list = append(list, method{"/" + served.desc.ServiceName + "/" + m.MethodName, served.server, m.Handler})
		}
	}
	return append(list, method{skeinv1.Membership_Admissions_FullMethodName, &membership{server: s},
		func(server any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			defer s.streams.Wait()
			m := &skeinv1.AdmissionsRequest{}
			if err := read(m); err != nil {
				return nil, err
			}
			l := &line{membership: server.(*membership), stream: &message{ctx: ctx, said: m}, room: make(chan struct{}, maxUnanswered)}
			if err := l.hear(); err != io.EOF {
				return nil, err
			}
			return nil, nil
		},
	})
}

// by is the context of a call by the first of those who may make it.
func (m method) by(ctx context.Context, p *participant) context.Context {
	who := caller{Peer: trust.Peer{ID: p.id(), Role: trust.RoleMember}, limiter: rate.NewLimiter(rate.Inf, 0)}
	if may := roles[m.name]; len(may) > 0 {
		who.Role = may[0]
	}
	return context.WithValue(ctx, callerKey{}, who)
}

// A message is a line over which one message comes.
type message struct {
	grpc.ServerStream
	ctx  context.Context
	said *skeinv1.AdmissionsRequest
}

func (m *message) Context() context.Context { return m.ctx }

func (m *message) Recv() (said *skeinv1.AdmissionsRequest, err error) {
	said, m.said = m.said, nil
	if said == nil {
		return nil, io.EOF
	}
	return said, nil
}

func (m *message) Send(answers *skeinv1.AdmissionsResponse) error {
	_, err := proto.Marshal(answers)
	return err
}

// settle has a message name the region, and the lease that the caller has now, where it
// names none: bytes drawn by chance hardly ever would.
func settle(m proto.Message, lease uint64) {
	if admissions, ok := m.(*skeinv1.AdmissionsRequest); ok {
		for _, call := range admissions.Calls {
			settle(call, lease)
		}
		return
	}
	r := m.ProtoReflect()
	if f := r.Descriptor().Fields().ByName("region"); f != nil && f.Kind() == protoreflect.StringKind && !r.Has(f) {
		r.Set(f, protoreflect.ValueOfString("r1"))
	}
	if f := r.Descriptor().Fields().ByName("lease"); f != nil && f.Kind() == protoreflect.Uint64Kind && !r.Has(f) {
		r.Set(f, protoreflect.ValueOfUint64(lease))
	}
}

// filled is a message like m that says something in every field but those of settle.
func filled(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	fill(m.ProtoReflect(), 4)
	raw, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Name() == "region", f.Name() == "lease", f.IsMap():
		case f.IsList():
			list := m.Mutable(f).List()
			if f.Message() == nil {
				list.Append(scalar(f))
			} else if depth > 0 {
				fill(list.AppendMutable().Message(), depth-1)
			}
		case f.Message() == nil:
			m.Set(f, scalar(f))
		case depth > 0:
			fill(m.Mutable(f).Message(), depth-1)
		}
	}
}

// scalar is a value that means something as often as one can that fits anywhere.
func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("cam")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(make([]byte, 32))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(1).Number())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(1)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(1)
	}
	return protoreflect.ValueOfInt64(1)
}
