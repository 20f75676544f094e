package command

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/relay"
)

func TestMetricsOfAMember(t *testing.T) {
	var delays relay.Distribution
	delays.Counts[0], delays.Counts[3], delays.Sum = 2, 1, 9*time.Millisecond
	delays.Counts[len(delays.Counts)-1] = 1
	c := nodeCollector{func() member.Stats {
		return member.Stats{Connected: true, Streams: []member.StreamStats{{Received: 4, Delays: delays}, {Received: 3, Delays: delays}}}
	}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	text := answer.Body.String()
	for _, line := range []string{
		"skein_member_packets_received_total 7", "# TYPE skein_member_packets_received_total counter",
		`skein_member_delay_seconds_bucket{le="0.001"} 4`, `skein_member_delay_seconds_bucket{le="0.01"} 6`,
		`skein_member_delay_seconds_bucket{le="+Inf"} 8`, `skein_member_delay_seconds_sum 0.018`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%s is missing in\n%s", line, text)
		}
	}
}
