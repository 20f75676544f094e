package admit

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
)

// A Contest says how admissions are to be set beside puts of etcd.
type Contest struct {
	Rate
	// Rounds in which first admissions and then puts are measured; what is
	// reported are medians.
	Rounds int
	// Program is the one of test/bench/etcd; empty = it is built.
	Program string
	// TLS has etcd encrypt its connections, as Skein always does.
	TLS bool
}

// A ContestReport holds the medians of the rounds, and the rounds.
type ContestReport struct {
	Replicas        int           `json:"replicas"`
	Clients         int           `json:"clients"`
	AtOnce          int           `json:"at_once"`
	Sessions        bool          `json:"sessions"`
	AdmissionsPerS  float64       `json:"admissions_per_s"`
	P50MS           float64       `json:"p50_ms"`
	P99MS           float64       `json:"p99_ms"`
	Lost            int           `json:"lost"`
	EtcdVersion     string        `json:"etcd_version"`
	EtcdTLS         bool          `json:"etcd_tls"`
	EtcdPutsPerS    float64       `json:"etcd_puts_per_s"`
	EtcdP50MS       float64       `json:"etcd_p50_ms"`
	EtcdP99MS       float64       `json:"etcd_p99_ms"`
	AdmissionsToPut float64       `json:"admissions_over_puts"`
	Admissions      []*RateReport `json:"admission_rounds"`
	Puts            []*EtcdReport `json:"etcd_rounds"`
}

// RunContest measures both in turns. progress is told what begins; it may be nil.
func RunContest(ctx context.Context, c Contest, progress func(what string, round int)) (report *ContestReport, err error) {
	if progress == nil {
		progress = func(string, int) {}
	}
	if c.Program == "" {
		dir, err := os.MkdirTemp(c.Dir, "skein-bench-build-")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		progress("building etcd", 0)
		if c.Program, err = BuildEtcd(ctx, dir); err != nil {
			return nil, err
		}
	}
	r := &ContestReport{Replicas: c.Coordinators, Clients: c.Clients, AtOnce: c.AtOnce, Sessions: c.Sessions, EtcdTLS: c.TLS}
	for round := range max(c.Rounds, 1) {
		progress("admissions", round+1)
		ours, err := RunRate(ctx, c.Rate)
		if err != nil {
			return nil, err
		}
		progress("etcd", round+1)
		theirs, err := RunEtcd(ctx, c.Program, c.Rate, c.TLS)
		if err != nil {
			return nil, err
		}
		r.Admissions, r.Puts = append(r.Admissions, ours), append(r.Puts, theirs)
		r.Lost += ours.Lost
		r.EtcdVersion = theirs.Version
	}
	r.AdmissionsPerS = median(r.Admissions, func(x *RateReport) float64 { return x.AdmissionsPerS })
	r.P50MS = median(r.Admissions, func(x *RateReport) float64 { return x.P50MS })
	r.P99MS = median(r.Admissions, func(x *RateReport) float64 { return x.P99MS })
	r.EtcdPutsPerS = median(r.Puts, func(x *EtcdReport) float64 { return x.PutsPerS })
	r.EtcdP50MS = median(r.Puts, func(x *EtcdReport) float64 { return x.P50MS })
	r.EtcdP99MS = median(r.Puts, func(x *EtcdReport) float64 { return x.P99MS })
	r.AdmissionsToPut = r.AdmissionsPerS / r.EtcdPutsPerS
	return r, nil
}

func median[T any](list []T, of func(T) float64) float64 {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b T) int { return cmp.Compare(of(a), of(b)) })
	return of(sorted[len(sorted)/2])
}
