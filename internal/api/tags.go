package api

import (
	"context"

	"github.com/rayorch/rayorch/internal/engine/catalog"
	"github.com/rayorch/rayorch/internal/value"
)

func init() {
	register(
		action{"TagResource", structure{required("resourceArn", anARN), required("tags", tagList)}, (*Server).tagResource},
		action{"UntagResource", structure{
			required("resourceArn", anARN), required("tagKeys", listShape{item: stringShape{min: 1, max: 128}}),
		}, (*Server).untagResource},
		action{"ListTagsForResource", structure{required("resourceArn", anARN)}, (*Server).listTagsForResource},
	)
}

// tags returns the tags of a request, nil if it has none.
func tags(in *value.Object) []catalog.Tag {
	var out []catalog.Tag
	for _, item := range list(in, "tags") {
		o, _ := item.(*value.Object)
		out = append(out, catalog.Tag{Key: text(o, "key"), Value: text(o, "value")})
	}
	return out
}

func (s *Server) tagResource(_ context.Context, in *value.Object) (*value.Object, error) {
	return empty, s.cat.AddTags(text(in, "resourceArn"), tags(in))
}

func (s *Server) untagResource(_ context.Context, in *value.Object) (*value.Object, error) {
	var keys []string
	for _, k := range list(in, "tagKeys") {
		key, _ := k.(string)
		keys = append(keys, key)
	}
	return empty, s.cat.RemoveTags(text(in, "resourceArn"), keys)
}

func (s *Server) listTagsForResource(_ context.Context, in *value.Object) (*value.Object, error) {
	all, err := s.cat.Tags(text(in, "resourceArn"))
	if err != nil {
		return nil, err
	}
	items := make([]any, len(all))
	for i, t := range all {
		items[i] = value.Obj("key", t.Key, "value", t.Value)
	}
	return value.Obj("tags", items), nil
}
