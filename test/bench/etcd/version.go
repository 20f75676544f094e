package main

import "runtime/debug"

// version is that of the etcd which is linked.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "go.etcd.io/etcd/server/v3" {
			return m.Version
		}
	}
	return ""
}
