package coordinator

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestMetricsAreNamedAsTheyShould(t *testing.T) {
	m := newMeters()
	m.of("r1").admissions.WithLabelValues("accepted").Inc()
	m.calls.WithLabelValues("/skein.v1.Membership/Join", "OK").Inc()
	families, err := m.registry.Gather()
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
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	for _, name := range []string{"skein_admission_seconds", "skein_commit_seconds", "skein_fsync_seconds"} {
		if series[name] != 1 {
			t.Errorf("%s: %d series of one region", name, series[name])
		}
	}
}
