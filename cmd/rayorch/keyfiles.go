package main

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// sayLeftOut reports the files of a run's code that were not packed because they may hold keys. A job that needs one fails
// otherwise without a word about the reason.
func (s *session) sayLeftOut(ctx context.Context, arn string, say func(string, ...any)) {
	all, err := s.code(ctx, arn)
	if err != nil {
		return // whatever watches the run reports it
	}
	for _, kept := range all {
		if len(kept.LeftOut) > 0 {
			say("%s", leftOutText(kept.Path, kept.LeftOut))
		}
	}
}

func leftOutText(dir string, keys []string) string {
	return fmt.Sprintf("not packed from %s, because they may hold keys: %s; to pack a file, re-include it in a .rayignore file there, such as !%s",
		dir, strings.Join(keys, ", "), path.Base(keys[0]))
}
