// Package page tests the page that shows a mesh, in a headless Chromium: that it
// is fast enough, says what is true, and shows what happens at once.
package page
