package compile

import "github.com/rayorch/rayorch/internal/value"

func (a *attempts) byProxy()  {}
func (a *attempts) byRayJob() {}

func (c *compiler) stopByProxy(states *value.Object, next string) string { return next }
