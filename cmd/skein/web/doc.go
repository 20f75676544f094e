// Package web serves what a node tells over HTTP: /healthz (the process works),
// /readyz (it can do its job), /metrics (Prometheus), /state (JSON) and /events
// (server-sent events). It decides nothing; a Config says what to answer with.
package web
