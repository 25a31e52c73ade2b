package main

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// sayLeftOut reports the files of a run's code that were not packed because they may contain keys. Otherwise a job that needs such a file
// would fail without any hint at the reason.
func (s *session) sayLeftOut(ctx context.Context, arn string, say func(string, ...any)) {
	all, err := s.code(ctx, arn)
	if err != nil {
		return // the command that watches the run reports the error
	}
	for _, kept := range all {
		if len(kept.LeftOut) > 0 {
			say("%s", leftOutText(kept.Path, kept.LeftOut))
		}
	}
}

// leftOutText returns the message about files that are not packed.
func leftOutText(dir string, keys []string) string {
	return fmt.Sprintf("not packed from %s, because they may contain keys: %s; to pack a file, re-include it in a .rayignore file there, such as !%s",
		dir, strings.Join(keys, ", "), path.Base(keys[0]))
}
