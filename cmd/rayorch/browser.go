package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// openBrowser opens an address with the first command of $BROWSER that exists, or with the desktop's default browser. The browser
// outlives this process: Ctrl-C must not close it.
func openBrowser(url string) error {
	var errs []error
	for _, argv := range browsers(os.Getenv("BROWSER"), url) {
		path, err := exec.LookPath(argv[0])
		if err == nil {
			cmd := exec.Command(path, argv[1:]...) //nolint:noctx // the browser outlives this process
			if err = cmd.Start(); err == nil {
				return cmd.Process.Release()
			}
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("open %s in a browser: %w", url, errors.Join(errs...))
}

// browsers returns the commands to try. list is $BROWSER: commands, separated as the directories in PATH are. %s in a command stands for
// the address; without %s, the address is the last argument.
func browsers(list, url string) [][]string {
	var all [][]string
	for _, text := range filepath.SplitList(list) {
		argv := strings.Fields(text)
		if len(argv) == 0 {
			continue
		}
		if !strings.Contains(text, "%s") {
			argv = append(argv, url)
		}
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], "%s", url)
		}
		all = append(all, argv)
	}
	if len(all) > 0 {
		return all // a user who set BROWSER does not want another one
	}
	switch runtime.GOOS {
	case "darwin":
		return [][]string{{"open", url}}
	case "windows":
		return [][]string{{"rundll32", "url.dll,FileProtocolHandler", url}}
	}
	return [][]string{{"xdg-open", url}}
}
