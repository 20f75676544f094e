package door_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/member/door"
)

const jsonType = "application/json"

// What a page may not say of its walker, and how it is told.
func TestWalkersRefused(t *testing.T) {
	m := newMesh(t)
	p := m.open(func(c *door.Config) { c.Authorize = door.Tokens("pen", "eye") })
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
	}{
		{"GET", "/door/walkers", jsonType, "", 405},
		{"POST", "/door/walkers", sdpType, `{"space":"plaza"}`, 415},
		{"POST", "/door/walkers", jsonType, `{"space":`, 400},
		{"POST", "/door/walkers", jsonType, `{"space":""}`, 422},
		{"POST", "/door/walkers", jsonType, `{"space":"plaza","name":"a b"}`, 422},
		{"POST", "/door/walkers", jsonType, `{"space":"plaza","x":1e300}`, 422},
		{"PUT", "/door/walkers/nobody", jsonType, `{}`, 404},
		{"GET", "/door/plaza.json", jsonType, "", 204},
	} {
		r := ask(t, c.method, p.url+c.path, c.body, "Content-Type", c.kind, "Authorization", "Bearer eye")
		if r.status != c.status {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.path, c.body, r.status, c.status, r.body)
		}
	}
	ask(t, "POST", p.url+"/door/walkers", `{"space":"plaza"}`, "Content-Type", jsonType).want(t, 401)
}

// A walker enters, looks around, walks no faster than it may, and leaves.
func TestAWalker(t *testing.T) {
	m := newMesh(t)
	p := m.open(nil)
	enter := func(name string) string {
		r := ask(t, "POST", p.url+"/door/walkers", `{"space":"plaza","name":"`+name+`","x":1}`, "Content-Type", jsonType).want(t, 201)
		return p.url + r.header.Get("Location")
	}
	ann, _ := enter("ann"), enter("bob")
	ask(t, "POST", p.url+"/door/walkers", `{"space":"plaza","name":"ann"}`, "Content-Type", jsonType).want(t, 409)
	request := must(http.NewRequestWithContext(t.Context(), "GET", ann, nil))
	answer := must(http.DefaultClient.Do(request))
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for {
		if !lines.Scan() {
			t.Fatalf("the page heard no more: %v", lines.Err())
		}
		var look struct {
			Around []struct{ Who, Detail string }
		}
		text, isData := strings.CutPrefix(lines.Text(), "data: ")
		if isData && json.Unmarshal([]byte(text), &look) != nil {
			t.Fatalf("the page hears %q", text)
		}
		if len(look.Around) == 1 && strings.HasSuffix(look.Around[0].Who, "/bob") && look.Around[0].Detail == "watch" {
			break
		}
	}
	refused := 0
	for range 200 {
		if ask(t, "PUT", ann, `{"x":2}`, "Content-Type", jsonType).status == 429 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("200 steps at once are let through")
	}
	ask(t, "DELETE", ann, "").want(t, 204)
	ask(t, "PUT", ann, `{}`, "Content-Type", jsonType).want(t, 404)
}
