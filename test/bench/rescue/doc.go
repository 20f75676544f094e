// Package rescue measures what viewers notice when their parent changes: when it is
// killed without a word (Failover), and when they are moved (Switch).
//
// Relays that are to be killed are processes of their own (Main), the rest shares
// the process of the benchmark. There are no coordinators: the benchmark assigns
// places and signs grants itself, as a rescue needs neither. Links take the
// round-trip time asked for. What is reported was counted by those who read the
// stream (log.go), not by the relays.
package rescue
