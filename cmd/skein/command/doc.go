// Package command is the command line of skein: it reads flags, environment and
// file into the Config structs of the other packages, starts what was asked for,
// and prints what they return.
//
// A value is taken from its flag; else from the environment (SKEIN_ and the
// flag's name in upper case, SKEIN_LOG_LEVEL for --log-level); else from the YAML
// file named by --config, whose keys are flag names; else from the flag's default.
// A key of the file that no command knows is an error, as is one of another type.
//
// Every command that prints results does so as a table or, with -o json, as
// JSON. Results go to standard output, logs and errors to standard error. An error
// is one line that says what was wrong, and one that says what to do next where
// that is known (failure.go). The exit codes are listed there too.
//
// The first SIGINT or SIGTERM drains: what runs ends in good order. The second
// one stops it at once.
package command
