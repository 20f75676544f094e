package door

import (
	"embed"
	"io/fs"
	"net/http"
)

// static holds the pages: plain HTML, CSS and JavaScript modules.
//
//go:embed static
var static embed.FS

// pages serves the embedded files below /door/. The pages load nothing from
// elsewhere, and may not.
func pages() http.Handler {
	root, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the embedded folder has that name
	}
	server := http.StripPrefix("/door/", http.FileServerFS(root))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; media-src 'self' blob: mediastream:; frame-ancestors 'none'")
		h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		server.ServeHTTP(w, r)
	})
}
