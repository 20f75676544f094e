package testnet

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func fetch(t *testing.T, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return string(text), err
}

// scrape checks the names and types of a node's metrics, and adds them to told.
func scrape(t *testing.T, address string, told map[string]bool) {
	t.Helper()
	text, err := fetch(t, "http://"+address+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s: %s", address, p.Metric, p.Text)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		told[m[1]] = true
	}
}

// expressions are what the dashboard asks Prometheus for.
func expressions(t *testing.T) []string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy", "grafana", "dashboards", "skein.json"))
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			list = append(list, target.Expr)
		}
	}
	if len(list) == 0 {
		t.Fatal("the dashboard shows nothing")
	}
	return list
}

// dashboardKnows checks that nodes tell all that the dashboard asks for.
func dashboardKnows(t *testing.T, told map[string]bool) {
	t.Helper()
	for _, e := range expressions(t) {
		for _, name := range regexp.MustCompile(`skein_[a-z_]+`).FindAllString(e, -1) {
			if !told[name] && !told[strings.TrimSuffix(name, "_bucket")] {
				t.Errorf("the dashboard asks for %s, which no node tells", name)
			}
		}
	}
}

// observe runs the Prometheus of the profile observe on the testnet. Its image
// comes from a registry; here Debian's prometheus stands in for it.
func (l *lab) observe() {
	l.t.Helper()
	const program = "/usr/bin/prometheus"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			l.t.Fatal("prometheus is not installed; in CI it must be")
		}
		l.t.Skip("prometheus is not installed")
	}
	image := l.project + "-prometheus"
	l.importImage(image, func(ctx context.Context, w *tar.Writer) error { return addPrograms(ctx, w, program) },
		`ENTRYPOINT ["`+program+`"]`, `CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]`)
	l.env = append(l.env, "PROMETHEUS_IMAGE="+image)
	l.composed("--profile", "observe", "up", "-d", "--no-build", "prometheus")
	base := "http://" + strings.TrimSuffix(l.address("prometheus"), ":7480") + ":9090/api/v1/query?query="
	asked := append(expressions(l.t), "up == 1")
	for begun := time.Now(); len(asked) > 0; time.Sleep(askInterval) {
		last := ""
		asked = slices.DeleteFunc(asked, func(e string) bool {
			text, err := fetch(l.t, base+url.QueryEscape(e))
			last = fmt.Sprintf("%s: %s %v", e, text, err)
			var answer struct {
				Status string
				Data   struct{ Result []any }
			}
			all := len(coordinators) + len(members) + 1
			return err == nil && json.Unmarshal([]byte(text), &answer) == nil && answer.Status == "success" &&
				len(answer.Data.Result) > 0 && (e != "up == 1" || len(answer.Data.Result) == all)
		})
		if len(asked) > 0 && time.Since(begun) > upLimit {
			l.t.Fatalf("after %v %d questions have no answer, such as %s", upLimit, len(asked), last)
		}
	}
	l.composed("--profile", "observe", "rm", "-s", "-f", "prometheus")
}
