package region

import "strings"

// Regions of other communities, which have a CA of their own, are named with it: two
// communities may both call a region r1.

const communitySign = "@"

// Of is what a region is called among the regions of other communities. The name of a
// community is the hash of its CA.
func (id ID) Of(community string) ID { return id + ID(communitySign+community) }

// Community is the community that is named with a region; empty if it is the own one.
func (id ID) Community() string {
	_, community, _ := strings.Cut(string(id), communitySign)
	return community
}

// Local is what a region is called in its own community.
func (id ID) Local() ID {
	local, _, _ := strings.Cut(string(id), communitySign)
	return ID(local)
}
