package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// settled runs a command with two flags and returns their values.
func settled(t *testing.T, env map[string]string, args ...string) (name, dir string, err error) {
	t.Helper()
	cmd := &cobra.Command{
		Use: "test", SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return settle(cmd, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
		},
	}
	f := cmd.Flags()
	f.String("config", "", "")
	f.StringVar(&name, "the-name", "default", "")
	f.StringVar(&dir, "dir", "", "")
	f.Int("count", 1, "")
	markPath(f, "dir")
	cmd.SetArgs(args)
	return name, dir, cmd.Execute()
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skein.yaml")
	if err := os.WriteFile(file, []byte("the-name: file\ndir: data\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SKEIN_THE_NAME": "environment"}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{nil, nil, "default"},
		{nil, []string{"--config", file}, "file"},
		{map[string]string{"SKEIN_CONFIG": file}, nil, "file"},
		{env, []string{"--config", file}, "environment"},
		{env, []string{"--config", file, "--the-name", "flag"}, "flag"},
	} {
		name, dir, err := settled(t, c.env, c.args...)
		if err != nil || name != c.want {
			t.Errorf("%v %v: %q (%v), want %q", c.env, c.args, name, err, c.want)
		}
		if c.want == "file" && dir != filepath.Join(filepath.Dir(file), "data") {
			t.Errorf("dir is %q, want it beside the settings file", dir)
		}
	}
}

func TestSettingsThatDoNotFitAreNamed(t *testing.T) {
	for text, words := range map[string]string{
		"count: many\n":          "count",
		"the-nam: x\n":           "--the-nam",
		"the-name: {a: b}\n":     "want a value",
		"- a\n- b\n":             "not a YAML file of settings",
		"the-name: a\nthe-name:": "not a YAML file of settings",
	} {
		file := filepath.Join(t.TempDir(), "skein.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := settled(t, nil, "--config", file); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: error %v, want one about %q", text, err, words)
		}
	}
}

// Every command explains itself, with an example where it takes arguments.
func TestEveryCommandHasHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" && !c.Hidden {
			t.Errorf("%s has no description", c.CommandPath())
		}
		if c.Runnable() && !c.Hidden && c.Example == "" && c.Name() != "version" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(new(app).root())
}

func TestVersionInBothFormats(t *testing.T) {
	for format, want := range map[string]string{"table": "skein ", "json": `"version"`} {
		var out, errOut bytes.Buffer
		if code := Main([]string{"version", "-o", format}, nil, &out, &errOut); code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("-o %s: code %d, %q %q", format, code, out.String(), errOut.String())
		}
	}
}
