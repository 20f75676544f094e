package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wrong runs skein and expects an exit code and words in the error, which must
// be short enough to read.
func wrong(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	r := skein(t, args...)
	shown := strings.Join(args, " ")
	if r.code != code {
		t.Errorf("skein %.100s: exit code %d, want %d\n%s", shown, r.code, code, r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			t.Errorf("skein %.100s: the error lacks %q:\n%.2000s", shown, w, r.err)
		}
	}
	if len(r.err) > 2000 || r.out != "" {
		t.Errorf("skein %.100s: %d bytes of error, %q as result", shown, len(r.err), r.out)
	}
}

func TestWrongUsageIsExplained(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"dev", "--membrs", "3"}, []string{"--membrs", "dev --help"}},
		{[]string{"dve"}, []string{"dve", "--help"}},
		{[]string{"dev", "extra"}, []string{"extra"}},
		{[]string{"dev", "--members", "1"}, []string{"--members 1", "2 to"}},
		{[]string{"dev", "--coordinators", "2"}, []string{"--coordinators 2", "1, 3, 5 or 7"}},
		{[]string{"dev", "--uplinks", "many"}, []string{"--uplinks", "kbit/s"}},
		{[]string{"dev", "--uplinks", "0"}, []string{"--uplinks", "give more uplink"}},
		{[]string{"dev", "--kill", "sun@1s"}, []string{"sun", "relay, leader, random"}},
		{[]string{"dev", "--kill", "relay@soon"}, []string{"soon", "10s"}},
		{[]string{"dev", "--kill", "relay@10s", "--for", "5s"}, []string{"relay@10s", "--for"}},
		{[]string{"dev", "--latency", filepath.Join(dir, "missing")}, []string{"--latency", "missing"}},
		{[]string{"dev", "--latency", write("ragged", "0 1\n1\n")}, []string{"row 2"}},
		{[]string{"status", "-o", "xml"}, []string{"table or json"}},
		{[]string{"status", "--config", filepath.Join(dir, "missing.yaml")}, []string{"--config", "missing.yaml"}},
		{[]string{"status", "--config", write("typo.yaml", "cordinators: x\n")}, []string{"line 1", "--cordinators"}},
		{[]string{"dev", "--config", write("type.yaml", "members: few\n")}, []string{"members", "few"}},
		{[]string{"dev", "--config", write("no.yaml", "\t: [")}, []string{"not a YAML file"}},
		{[]string{"status", "--credentials", filepath.Join(dir, "nobody")}, []string{"nobody", "skein init"}},
		{[]string{"token", "create", "--authority", dir}, []string{"--authority", "skein init"}},
		{[]string{"token", "create", "--role", "king"}, []string{"king", "member, coordinator or operator"}},
		{[]string{"init", "--dir", dir}, []string{dir, "does not exist"}},
		{[]string{"init", "--coordinators", "a,b"}, []string{"2 addresses", "1, 3, 5 or 7"}},
		{[]string{"coordinator"}, []string{"--credentials", "skein init"}},
		{[]string{"member", "--coordinator", "maybe"}, []string{`--coordinator "maybe"`, "auto or none"}},
		{[]string{"member", "--coordinator", "auto"}, []string{"--data", "--coordinator-data"}},
		{[]string{"member", "--coordinator", "auto", "--data", dir, "--coordinator-advertise", "here"}, []string{"--coordinator-advertise", "host:7400/host:7401"}},
		{[]string{"dev", "--auto", "12"}, []string{"--auto 12", "0 to 11"}},
		{[]string{"publish", filepath.Join(dir, "missing.ivf")}, []string{"missing.ivf"}},
		{[]string{"publish", "pattern", "--layers", "99"}, []string{"--layers 99", "1 to"}},
		{[]string{"publish", "rtp", "--video", "VP8@127.0.0.1:0", "--video", "VP9@127.0.0.1:0"}, []string{"VP9", "one codec"}},
		{[]string{"publish", "rtp", "--video", "VP8@127.0.0.1:0", "--video-rate", "1,2"}, []string{"--video-rate", "2 rates for 1"}},
		{[]string{"play", "movie", "--size", "2"}, []string{"--size 2", "at most 1"}},
		{[]string{"dev", "--layers", "0"}, []string{"--layers 0", "1 to"}},
		{[]string{"publish", write("text.ivf", "no media at all\n")}, []string{"neither IVF", "Ogg"}},
	} {
		wrong(t, 2, c.words, c.args...)
	}
}

func TestInitMakesAllOrNothing(t *testing.T) {
	parent := t.TempDir()
	wrong(t, 2, []string{"port"}, "init", "--dir", filepath.Join(parent, "c"), "--coordinators", "10.0.0.1,10.0.0.2,10.0.0.3:99999")
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 0 {
		t.Errorf("a failed init left %v (%v)", left, err)
	}
}

func TestWhoMayNotJoinIsTold(t *testing.T) {
	c := newCluster(t, 1)
	other := filepath.Join(t.TempDir(), "other")
	must(t, "init", "--dir", other)
	token := func(dir string, args ...string) string {
		return strings.TrimSpace(must(t, append([]string{"token", "create", "--authority", filepath.Join(dir, "ca")}, args...)...))
	}
	play := func(args ...string) []string {
		return append([]string{"play", "x", "--for", "1s", "--media", "127.0.0.1:0", "--gossip", "none", "--coordinators", c.addrs[0]}, args...)
	}
	expired := token(c.dir, "--ttl", "1s")
	spent := token(c.dir, "--uses", "1")
	good := token(c.dir)
	time.Sleep(2 * time.Second) // the first token's lifetime

	wrong(t, 5, []string{"another cluster"}, play("--token", token(other))...)
	wrong(t, 5, []string{"expired", "skein token create"}, play("--token", expired)...)
	wrong(t, 5, []string{"role"}, play("--token", token(c.dir, "--role", "operator"))...)
	wrong(t, 5, []string{"malformed", "skein token create"}, play("--token", "skein1.nonsense")...)
	wrong(t, 5, []string{"not genuine"}, play("--token", forged(good))...)
	wrong(t, 2, []string{"skein token create"}, play()...)

	// The wrong CA, and a certificate that belongs to another key.
	wrong(t, 5, []string{"cluster"}, "status", "--coordinators", c.addrs[0], "--credentials", filepath.Join(other, "operator"))
	stolen := filepath.Join(t.TempDir(), "stolen")
	mixed(t, stolen, filepath.Join(c.dir, "operator"), filepath.Join(other, "operator"))
	wrong(t, 1, []string{"but the key of"}, "status", "--coordinators", c.addrs[0], "--credentials", stolen)

	// A stream name beyond all bounds: the member leaves again and says why.
	wrong(t, 2, []string{"200"}, append([]string{"publish", "pattern", "--stream", strings.Repeat("x", 10_000)}, play("--token", good)[4:]...)...)

	// A token for one use is good for one.
	publish := launch(t, append([]string{"publish", "pattern", "--stream", "one"}, play("--token", spent)[4:]...)...)
	eventually(t, "the stream", func() bool { return strings.Contains(must(t, c.operator("streams")...), "one/video") })
	wrong(t, 5, []string{"used up"}, play("--token", spent)...)
	if code := publish.end(t); code != 0 {
		t.Errorf("publish ends with %d after SIGTERM", code)
	}
}

// forged is a token whose last letter is another one.
func forged(token string) string {
	last := "a"
	if strings.HasSuffix(token, last) {
		last = "b"
	}
	return token[:len(token)-1] + last
}

// mixed makes a credentials folder with the key of one node and the certificate
// of another.
func mixed(t *testing.T, dir, certOf, keyOf string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, match := range map[string]string{certOf: "*.crt", keyOf: "*.key"} {
		files, err := filepath.Glob(filepath.Join(from, match))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in %s", match, from)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	c := newCluster(t, 1)
	wrong(t, 1, []string{c.addrs[0], "in use", "--grpc"}, "coordinator", "--config", c.settings(0))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wrong(t, 1, []string{l.Addr().String(), "in use", "--page"}, "dev", "--page", l.Addr().String())
}

func TestADamagedDataFolderIsNamed(t *testing.T) {
	c := newCluster(t, 1)
	if code := c.coords[0].end(t); code != 0 {
		t.Fatalf("coordinator ends with %d after SIGTERM", code)
	}
	var files []string
	err := filepath.WalkDir(filepath.Join(c.coordinator(0), "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".db") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no log in the data folder: %v", err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte(strings.Repeat("rubbish ", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wrong(t, 1, []string{filepath.Base(files[0])}, "coordinator", "--config", c.settings(0))
}

func TestAFullDiskIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("in CI this test must run as root")
		}
		t.Skip("needs root, to mount a file system that is full")
	}
	small := t.TempDir()
	if err := mountFull(small); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(small); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(t.TempDir(), "cluster")
	must(t, "init", "--dir", dir, "--coordinators", freeAddresses(t, 1)[0])
	wrong(t, 1, []string{"no space left", "free some space"}, "coordinator", "--config",
		filepath.Join(dir, "coordinator-1", "skein.yaml"), "--data", filepath.Join(small, "data"))
}
