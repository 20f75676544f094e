package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxSettings bounds a settings file, in bytes.
const maxSettings = 1 << 20

// pathFlag is the annotation of flags whose value is a path: in a settings file,
// it is relative to that file.
const pathFlag = "path"

// markPath says that flags of cmd hold paths.
func markPath(f *pflag.FlagSet, names ...string) {
	for _, n := range names {
		f.Lookup(n).Annotations = map[string][]string{pathFlag: {}}
	}
}

// settle gives the flags of cmd that were not typed the values of the
// environment, or else of the settings file.
func settle(cmd *cobra.Command, env func(string) (string, bool)) error {
	typed := make(map[string]bool)
	cmd.Flags().Visit(func(f *pflag.Flag) { typed[f.Name] = true })
	file, err := settingsFile(cmd, typed, env)
	if err != nil {
		return err
	}
	values, err := readSettings(file, cmd.Root())
	if err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if typed[f.Name] || failed != nil {
			return
		}
		name := "SKEIN_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := env(name); ok {
			failed = setFrom(cmd.Flags(), f, v, "environment variable "+name)
		} else if v, ok := values[f.Name]; ok {
			if _, isPath := f.Annotations[pathFlag]; isPath && v != "" && !filepath.IsAbs(v) {
				v = filepath.Join(filepath.Dir(file), v)
			}
			failed = setFrom(cmd.Flags(), f, v, fmt.Sprintf("%s: key %s", file, f.Name))
		}
	})
	return failed
}

func setFrom(flags *pflag.FlagSet, f *pflag.Flag, value, where string) error {
	if err := flags.Set(f.Name, value); err != nil {
		return fmt.Errorf("%s: %.60q is not fit for --%s (%s)", where, value, f.Name, f.Value.Type())
	}
	return nil
}

func settingsFile(cmd *cobra.Command, typed map[string]bool, env func(string) (string, bool)) (string, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", err
	}
	if v, ok := env("SKEIN_CONFIG"); ok && !typed["config"] {
		file = v
	}
	return file, nil
}

// readSettings returns the keys and values of a settings file. Lists become
// values separated by commas.
func readSettings(path string, root *cobra.Command) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	defer f.Close()
	var raw map[string]yaml.Node
	if err := yaml.NewDecoder(io.LimitReader(f, maxSettings)).Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("--config %s: not a YAML file of settings: %w", path, err)
	}
	known := knownFlags(root)
	out := make(map[string]string, len(raw))
	for key, node := range raw {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("--config %s: line %d: no command of skein has a flag --%s", path, node.Line, key)
		}
		switch node.Kind {
		case yaml.ScalarNode:
			out[key] = node.Value
		case yaml.SequenceNode:
			var items []string
			if err := node.Decode(&items); err != nil {
				return nil, fmt.Errorf("--config %s: key %s: %w", path, key, err)
			}
			out[key] = strings.Join(items, ",")
		default:
			return nil, fmt.Errorf("--config %s: line %d: key %s: want a value or a list of values", path, node.Line, key)
		}
	}
	return out, nil
}

// knownFlags lists the flags of all commands: one file may serve several.
func knownFlags(cmd *cobra.Command) []string {
	var out []string
	add := func(f *pflag.Flag) { out = append(out, f.Name) }
	cmd.Flags().VisitAll(add)
	cmd.PersistentFlags().VisitAll(add)
	for _, c := range cmd.Commands() {
		out = append(out, knownFlags(c)...)
	}
	return out
}
