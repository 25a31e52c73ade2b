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

// openBrowser opens an address by the first of $BROWSER's commands that is there, else as the desktop does. The browser
// outlives this process: nobody wants it closed by Ctrl-C.
func openBrowser(url string) error {
	var errs []error
	for _, argv := range browsers(os.Getenv("BROWSER"), url) {
		path, err := exec.LookPath(argv[0])
		if err == nil {
			cmd := exec.Command(path, argv[1:]...) //nolint:noctx // it is not ours to end
			if err = cmd.Start(); err == nil {
				return cmd.Process.Release()
			}
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("open %s in a browser: %w", url, errors.Join(errs...))
}

// browsers are the commands to try. BROWSER holds some, between the list separators of PATH; %s in one stands for the
// address, which else comes last.
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
		return all // who named one wants no other
	}
	switch runtime.GOOS {
	case "darwin":
		return [][]string{{"open", url}}
	case "windows":
		return [][]string{{"rundll32", "url.dll,FileProtocolHandler", url}}
	}
	return [][]string{{"xdg-open", url}}
}
