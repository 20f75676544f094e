// Etcd measures what three members of etcd do on this machine, as a yardstick for
// skein bench admit --vs-etcd, which starts it as a process of its own. It is a
// module of its own so that Skein depends on nothing of etcd.
//
// It starts the members in one process, each on a data folder of its own and with
// etcd's defaults (every entry is synced to disk by a majority), lets clients put
// values as fast as they are answered, each over a connection of its own to the
// leader, and prints one line of JSON.
package main
