// Package member is the SDK: Join makes a program a member of a region, which
// publishes and receives live streams and relays them for others.
package member
