package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// readyTimeout bounds the start of the cluster, putTimeout a put.
const (
	readyTimeout = 30 * time.Second
	putTimeout   = 10 * time.Second
)

// A config says what is measured.
type config struct {
	dir              string
	members, clients int
	conns            int
	value            int
	tls              bool
	warmup, duration time.Duration
}

// A result is what was measured.
type result struct {
	Version    string  `json:"version"`
	Members    int     `json:"members"`
	Clients    int     `json:"clients"`
	ValueBytes int     `json:"value_bytes"`
	Puts       int     `json:"puts"`
	Failed     int     `json:"failed"`
	Seconds    float64 `json:"seconds"`
	PutsPerS   float64 `json:"puts_per_s"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", "", "folder for the members' data; it must be empty")
	flag.IntVar(&c.members, "members", 3, "members of the cluster")
	flag.IntVar(&c.clients, "clients", 256, "clients that put at the same time")
	flag.IntVar(&c.conns, "conns", 256, "connections that the clients share")
	flag.BoolVar(&c.tls, "tls", false, "encrypt the connections of clients and between members")
	flag.IntVar(&c.value, "value", 256, "bytes of a value")
	flag.DurationVar(&c.warmup, "warmup", time.Second, "time before measuring begins")
	flag.DurationVar(&c.duration, "duration", 5*time.Second, "time to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, c)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c config) (result, error) {
	if c.dir == "" {
		return result{}, errors.New("-dir is missing: name a folder for the members' data")
	}
	leader, shut, err := start(c)
	defer shut()
	if err != nil {
		return result{}, err
	}
	clients, hangUp, err := dial(c, leader)
	defer hangUp()
	if err != nil {
		return result{}, err
	}
	if _, _, err := put(ctx, clients, c, c.warmup); err != nil {
		return result{}, err
	}
	begun := time.Now()
	took, failed, err := put(ctx, clients, c, c.duration)
	if err != nil {
		return result{}, err
	}
	seconds := time.Since(begun).Seconds()
	slices.Sort(took)
	return result{
		Version: version(), Members: c.members, Clients: c.clients, ValueBytes: c.value,
		Puts: len(took), Failed: failed, Seconds: seconds, PutsPerS: float64(len(took)) / seconds,
		P50: quantile(took, 0.5), P99: quantile(took, 0.99),
	}, nil
}

// start starts the members on free ports of loopback and waits for a leader,
// whose client address it returns.
func start(c config) (leader string, shut func(), err error) {
	var servers []*embed.Etcd
	shut = func() {
		for _, e := range servers {
			e.Close()
		}
	}
	peers, clients, err := addresses(c)
	if err != nil {
		return "", shut, err
	}
	var initial []string
	for i, p := range peers {
		initial = append(initial, fmt.Sprintf("m%d=%s", i, p.String()))
	}
	for i := range c.members {
		cfg := embed.NewConfig()
		cfg.Name, cfg.Dir = fmt.Sprintf("m%d", i), filepath.Join(c.dir, fmt.Sprintf("m%d", i))
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peers[i]}, []url.URL{peers[i]}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{clients[i]}, []url.URL{clients[i]}
		cfg.InitialCluster = strings.Join(initial, ",")
		cfg.ClientAutoTLS, cfg.PeerAutoTLS = c.tls, c.tls
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		e, err := embed.StartEtcd(cfg)
		if err != nil {
			return "", shut, fmt.Errorf("start member %d: %w", i, err)
		}
		servers = append(servers, e)
	}
	deadline := time.After(readyTimeout)
	for _, e := range servers {
		select {
		case <-e.Server.ReadyNotify():
		case <-deadline:
			return "", shut, fmt.Errorf("the cluster was not ready within %v", readyTimeout)
		}
	}
	for i, e := range servers {
		if e.Server.MemberID() == e.Server.Leader() {
			return clients[i].Host, shut, nil
		}
	}
	return "", shut, errors.New("no member leads")
}

// addresses picks free ports: one for the peers and one for the clients of each.
func addresses(c config) (peers, clients []url.URL, err error) {
	scheme := "http"
	if c.tls {
		scheme = "https"
	}
	var all []url.URL
	for range 2 * c.members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		defer l.Close() // all are held until all are picked
		all = append(all, url.URL{Scheme: scheme, Host: l.Addr().String()})
	}
	return all[:c.members], all[c.members:], nil
}

// dial connects each client by a connection of its own.
func dial(c config, leader string) (clients []*clientv3.Client, hangUp func(), err error) {
	hangUp = func() {
		for _, x := range clients {
			x.Close()
		}
	}
	cfg := clientv3.Config{Endpoints: []string{leader}, DialTimeout: readyTimeout, Logger: zap.NewNop()}
	if c.tls {
		// The members' certificates are of their own making.
		cfg.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	for range min(c.conns, c.clients) {
		x, err := clientv3.New(cfg)
		if err != nil {
			return clients, hangUp, fmt.Errorf("connect to the leader: %w", err)
		}
		clients = append(clients, x)
	}
	return clients, hangUp, nil
}

// put lets every client put values one after the other for a while, and returns
// how long each put took.
func put(ctx context.Context, clients []*clientv3.Client, c config, d time.Duration) (took []time.Duration, failed int, err error) {
	value := strings.Repeat("v", c.value)
	end := time.Now().Add(d)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range c.clients {
		x := clients[i%len(clients)]
		wg.Go(func() {
			var mine []time.Duration
			bad := 0
			for k := 0; time.Now().Before(end) && ctx.Err() == nil; k++ {
				begun := time.Now()
				call, cancel := context.WithTimeout(ctx, putTimeout)
				_, err := x.Put(call, fmt.Sprintf("member-%d/stream-%d", i, k), value)
				cancel()
				if err != nil {
					bad++
					continue
				}
				mine = append(mine, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), failed+bad
		})
	}
	wg.Wait()
	if len(took) == 0 {
		return nil, failed, errors.Join(errors.New("no put succeeded"), ctx.Err())
	}
	return took, failed, nil
}

// quantile of sorted durations, in ms.
func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000
}
