package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// An app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
	// patience ends with the second signal: what drains then stops at once.
	patience context.Context

	output    string
	logFormat string
	logLevel  string
	config    string
	// running is set once flags and settings are accepted: errors before are
	// mistakes of usage.
	running bool
}

// Main runs the program with the given arguments and returns its exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	drain, stop := context.WithCancel(context.Background())
	defer stop()
	patience, lose := context.WithCancel(context.Background())
	defer lose()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		for _, end := range []context.CancelFunc{stop, lose} {
			select {
			case <-signals:
				end()
			case <-patience.Done():
				return
			}
		}
	}()
	a := &app{in: in, out: out, err: errOut, log: slog.New(slog.DiscardHandler), patience: patience}
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(drain)
	if err != nil && !a.running {
		err = usageError{err, cmd.CommandPath()}
	}
	return report(errOut, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "skein",
		Short: "Live audio, video and data for many, without a central media server",
		Long: `Skein shares live audio, video and data among many without a central media
server: members relay streams for one another, and small groups of
coordinators decide who relays to whom.

Try it:  skein dev

Every flag may also be set in the environment (SKEIN_LOG_LEVEL for --log-level)
or in a YAML file named by --config, whose keys are flag names. Flags win over
the environment, and the environment over the file.

` + exitCodes,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "table", "how results are printed: table or json")
	f.StringVar(&a.logFormat, "log-format", "text", "how logs are written to standard error: text or json")
	f.StringVar(&a.logLevel, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.StringVar(&a.config, "config", "", "YAML file with settings; its keys are flag names")
	root.AddCommand(
		a.dev(), a.devNode(),
		a.init(), a.token(), a.access(), a.coordinator(), a.member(),
		a.publish(), a.play(),
		a.status(), a.regions(), a.region(), a.peer(), a.members(), a.streams(), a.tree(), a.plan(), a.events(),
		a.sim(), a.bench(), a.benchHub(), a.benchNode(),
		a.health(),
		a.version(),
	)
	return root
}

// prepare completes the flags from environment and file and sets up the log.
func (a *app) prepare(cmd *cobra.Command) error {
	if err := settle(cmd, os.LookupEnv); err != nil {
		return err
	}
	if a.output != "table" && a.output != "json" {
		return fmt.Errorf("--output %q: want table or json", a.output)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", a.logLevel)
	}
	if a.logFormat != "text" && a.logFormat != "json" {
		return fmt.Errorf("--log-format %q: want text or json", a.logFormat)
	}
	a.log = a.logger(level)
	a.running = true
	return nil
}

// logger writes to standard error in the format that was asked for.
func (a *app) logger(level slog.Level) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if a.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.err, opts))
	}
	return slog.New(slog.NewTextHandler(a.err, opts))
}
