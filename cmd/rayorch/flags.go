package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is the number of columns that the help is wrapped to.
const helpWidth = 100

// placeholders are the words that stand for the value of a flag in the help, by the flag's name. The value of a flag that is not
// listed is shown as its type: STRING, INT, DURATION or JSON. The same flag means the same in every command that has it.
var placeholders = map[string]string{
	"access-key": "FILE", "address": "ADDRESS", "alias": "NAME", "allow-context": "NAME", "allow-dir": "DIR", "allow-env": "NAME",
	"allow-ray": "ADDRESS", "context": "NAME", "eks-cluster": "NAME=CONTEXT", "endpoint": "URL", "host": "NAME", "inherit-env": "NAME",
	"input": "JSON", "kubeconfig": "FILE", "lease": "NAME", "listen": "ADDRESS", "metadata-file": "FILE", "name": "NAME",
	"namespace": "NAME", "out": "PATH", "param": "NAME=VALUE", "params-file": "FILE", "profile": "NAME", "ray-address": "URL",
	"ray-ca": "FILE", "ray-cluster": "NAME", "ray-service": "NAME", "region": "NAME", "reserve": "SIZE", "stack-name": "NAME",
	"state-dir": "DIR", "step": "NAME", "storage": "DIR", "target": "NAME", "tls-cert": "FILE", "tls-key": "FILE",
}

// placeholderOf returns the word for a flag's value, or "" for a boolean.
func placeholderOf(f *pflag.Flag) string {
	if word, ok := placeholders[f.Name]; ok {
		return word
	}
	switch kind := f.Value.Type(); kind {
	case "bool":
		return ""
	case "stringArray":
		return "STRING"
	default:
		return strings.ToUpper(kind)
	}
}

// awsAnnotation marks the flags that only AWS needs: the help lists them in their own section.
const awsAnnotation = "rayorch_aws"

// markAWS marks flags of a command as flags that only AWS needs.
func markAWS(c *cobra.Command, names ...string) {
	for _, name := range names {
		_ = c.Flags().SetAnnotation(name, awsAnnotation, nil) // fails only for a flag that does not exist
	}
}

// formatHelp replaces the parts of cobra's help that show flags and descriptions. cobra would take a back-quoted word of the
// description for the placeholder of a flag's value, and does not wrap lines.
func formatHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("wrap", func(text string) string { return wrap(text, helpWidth, 0) })
	cobra.AddTemplateFunc("ownFlags", func(c *cobra.Command) string { own, _ := splitFlags(c.LocalFlags()); return flagUsages(own) })
	cobra.AddTemplateFunc("awsFlags", func(c *cobra.Command) string { _, aws := splitFlags(c.LocalFlags()); return flagUsages(aws) })
	cobra.AddTemplateFunc("globalFlags", func(c *cobra.Command) string {
		own, aws := splitFlags(c.InheritedFlags())
		return flagUsages(append(own, aws...))
	})
	root.SetHelpTemplate(strings.Replace(root.HelpTemplate(), ". | trimTrailingWhitespaces", "wrap . | trimTrailingWhitespaces", 1))
	root.SetUsageTemplate(strings.NewReplacer(
		"{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}",
		"{{ownFlags . | trimTrailingWhitespaces}}{{with awsFlags .}}\n\nFlags for AWS:\n{{. | trimTrailingWhitespaces}}{{end}}",
		"{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}", "{{globalFlags . | trimTrailingWhitespaces}}",
	).Replace(root.UsageTemplate()))
}

// splitFlags returns the visible flags of a set, those that only AWS needs separately.
func splitFlags(set *pflag.FlagSet) (own, aws []*pflag.Flag) {
	set.VisitAll(func(f *pflag.Flag) {
		_, isAWS := f.Annotations[awsAnnotation]
		switch {
		case f.Hidden:
		case isAWS:
			aws = append(aws, f)
		default:
			own = append(own, f)
		}
	})
	return own, aws
}

// flagUsages formats flags as two columns: names with placeholders, and descriptions with defaults.
func flagUsages(flags []*pflag.Flag) string {
	width := 0
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = flagName(f)
		width = max(width, len(names[i]))
	}
	var b strings.Builder
	for i, f := range flags {
		fmt.Fprintf(&b, "%-*s   %s\n", width, names[i], wrap(f.Usage+flagDefault(f), helpWidth, width+3))
	}
	return b.String()
}

// properNouns are the words that keep their capital at the beginning of a usage.
var properNouns = []string{"Amazon", "CloudFormation", "CloudWatch", "EventBridge", "Kubernetes", "Ray", "Seed-Farmer", "Step", "PersistentVolumeClaim", "Service"}

// lowerFirst makes a sentence the beginning of a phrase: its first word starts in lower case, unless it is a name or an abbreviation.
func lowerFirst(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if len(word) > 1 && strings.ToUpper(word[1:2]) == word[1:2] || slices.Contains(properNouns, strings.TrimSuffix(word, "'s")) || text == "" {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// flagName returns the first column of the help for a flag.
func flagName(f *pflag.Flag) string {
	name := "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if word := placeholderOf(f); word != "" {
		name += " " + word
	}
	return name
}

// flagDefault returns the default of a flag in parentheses, or "" if it is the zero value of its type.
func flagDefault(f *pflag.Flag) string {
	if slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) {
		return ""
	}
	return " (default: " + f.DefValue + ")"
}

// wrap breaks the lines of a text between words so that they end before a column. The text starts at the column indent, and so does
// each further line. A word that is too long for a line gets its own. Indented lines, such as those of a list, stay as they are.
func wrap(text string, width, indent int) string {
	var lines []string
	for paragraph := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(paragraph, " ") || strings.HasPrefix(paragraph, "\t") {
			lines = append(lines, paragraph)
			continue
		}
		line := ""
		for word := range strings.FieldsSeq(paragraph) {
			if line != "" && indent+len(line)+1+len(word) > width {
				lines = append(lines, line)
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", indent))
}

// renameDefaults gives the commands that cobra adds a short help in the style of the others.
func renameDefaults(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Short = "show the help of a command"
			c.Long = "help shows the help of rayorch or of a command, like rayorch COMMAND --help."
			c.Example = "  rayorch help run"
		case "completion":
			c.Short = "print the completion script for a shell"
			c.Long = "completion prints a script that completes commands and flags in a shell. The help of each shell's command describes how to " +
				"load the script."
			c.Example = "  source <(rayorch completion bash)"
			c.Args = usageArgs(nil)
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
			for _, shell := range c.Commands() {
				shell.Short = "print the completion script for " + shell.Name()
			}
		}
	}
}
