// Package web serves what a node tells over HTTP: /healthz (the process works),
// /readyz (it can do its job), /metrics (Prometheus), /state (JSON) and /events
// (server-sent events). It decides nothing; a Config says what to answer with.
//
// A Page shows a whole region as it lives, to people with a browser: plain HTML,
// CSS and JavaScript modules in the folder static, with no build step and nothing
// loaded from elsewhere. Its data come as snapshots once a second while somebody
// looks, and the last ten minutes are kept at the node, so that everybody who
// opens the page can go back.
package web
