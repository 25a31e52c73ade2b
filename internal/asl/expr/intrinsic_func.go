package expr

import (
	"crypto/md5"  //nolint:gosec // an algorithm of States.Hash
	"crypto/sha1" //nolint:gosec // an algorithm of States.Hash
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"github.com/rayorch/rayorch/internal/value"
)

// Limits of the intrinsic functions, from the developer guide.
const (
	maxRangeItems   = 1000
	maxIntrinsicStr = 10_000
)

// call is the context of a function call in addition to its arguments.
type call struct {
	*Intrinsic
	scope *Scope
}

// intrinsicFunc evaluates a function. It returns false if the number, type or value of an argument is invalid.
type intrinsicFunc func(c *call, args []any) (any, bool)

var intrinsics map[string]intrinsicFunc

func init() { // an initializer of the variable would be an initialization cycle: States.Format inspects calls in its arguments
	intrinsics = map[string]intrinsicFunc{
		"States.Array":          func(_ *call, args []any) (any, bool) { return args, true },
		"States.ArrayPartition": arrayPartition,
		"States.ArrayContains":  arrayContains,
		"States.ArrayRange":     arrayRange,
		"States.ArrayGetItem":   arrayGetItem,
		"States.ArrayLength":    arrayLength,
		"States.ArrayUnique":    arrayUnique,
		"States.Base64Encode":   base64Encode,
		"States.Base64Decode":   base64Decode,
		"States.Hash":           hashIntrinsic,
		"States.JsonMerge":      jsonMerge,
		"States.StringToJson":   stringToJSON,
		"States.JsonToString":   jsonToString,
		"States.MathRandom":     mathRandom,
		"States.MathAdd":        mathAdd,
		"States.StringSplit":    stringSplit,
		"States.UUID":           func(c *call, args []any) (any, bool) { return newUUID(c.scope.random()), len(args) == 0 },
		"States.Format":         format,
	}
}

// arrayArg returns the first argument if it is an array and there are n arguments.
func arrayArg(args []any, n int) ([]any, bool) {
	if len(args) != n {
		return nil, false
	}
	a, ok := args[0].([]any)
	return a, ok
}

// stringArg returns the first argument if it is a string and there are n arguments.
func stringArg(args []any, n int) (string, bool) {
	if len(args) != n {
		return "", false
	}
	s, ok := args[0].(string)
	return s, ok
}

// arrayPartition truncates the size, as AWS does. The developer guide says that it is rounded.
func arrayPartition(_ *call, args []any) (any, bool) {
	a, ok := arrayArg(args, 2)
	if !ok {
		return nil, false
	}
	size, ok := truncated(args[1])
	if !ok || size < 1 {
		return nil, false
	}
	return partition(a, size), true
}

// partition splits an array into parts that share its memory. The last part can be shorter.
func partition(a []any, size int64) []any {
	out := []any{}
	for len(a) > 0 {
		n := min(size, int64(len(a)))
		out = append(out, a[:n:n])
		a = a[n:]
	}
	return out
}

// arrayContains compares texts: in Step Functions, the string "true" matches true, and objects with a different order of keys
// differ.
func arrayContains(_ *call, args []any) (any, bool) {
	a, ok := arrayArg(args, 2)
	if !ok {
		return nil, false
	}
	want := javaText(args[1])
	for _, item := range a {
		if (item == nil) == (args[1] == nil) && javaText(item) == want {
			return true, true
		}
	}
	return false, true
}

// arrayRange includes the end if a step reaches it. It truncates its arguments before it checks that the step is not 0.
func arrayRange(_ *call, args []any) (any, bool) {
	if len(args) != 3 {
		return nil, false
	}
	from, ok1 := truncated(args[0])
	to, ok2 := truncated(args[1])
	step, ok3 := truncated(args[2])
	if !ok1 || !ok2 || !ok3 || step == 0 {
		return nil, false
	}
	if n := (to - from) / step; n >= maxRangeItems {
		return nil, false
	}
	out := []any{}
	for i := from; step > 0 && i <= to || step < 0 && i >= to; i += step {
		out = append(out, value.Int(i))
	}
	return out, true
}

// arrayGetItem returns null for any index of an empty array, as Step Functions does.
func arrayGetItem(_ *call, args []any) (any, bool) {
	a, ok := arrayArg(args, 2)
	if !ok {
		return nil, false
	}
	i, ok := truncated(args[1])
	switch {
	case !ok || i < 0:
		return nil, false
	case len(a) == 0:
		return nil, true
	case i >= int64(len(a)):
		return nil, false
	}
	return a[i], true
}

func arrayLength(_ *call, args []any) (any, bool) {
	a, ok := arrayArg(args, 1)
	return value.Int(int64(len(a))), ok
}

// arrayUnique returns the items in Java's order instead of the order of their first occurrence, as executions on AWS do.
func arrayUnique(_ *call, args []any) (any, bool) {
	a, ok := arrayArg(args, 1)
	if !ok {
		return nil, false
	}
	return javaSet(a), true
}

// base64Encode limits the length in UTF-16 units, as Java does.
func base64Encode(_ *call, args []any) (any, bool) {
	s, ok := stringArg(args, 1)
	if !ok || utf16Len(s) > maxIntrinsicStr {
		return nil, false
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), true
}

// base64Decode ignores characters outside the base64 alphabet, and missing padding, as Step Functions does.
func base64Decode(_ *call, args []any) (any, bool) {
	s, ok := stringArg(args, 1)
	if !ok || utf16Len(s) > maxIntrinsicStr {
		return nil, false
	}
	clean := strings.Map(func(r rune) rune {
		if r == '+' || r == '/' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, s)
	if len(clean)%4 == 1 { // six bits are less than a byte
		clean = clean[:len(clean)-1]
	}
	out, err := base64.RawStdEncoding.DecodeString(clean)
	if err != nil {
		return nil, false
	}
	return strings.ToValidUTF8(string(out), "\uFFFD"), true
}

// hashIntrinsic accepts any value: if it is not a string, it is hashed in the format of Java.
func hashIntrinsic(_ *call, args []any) (any, bool) {
	if len(args) != 2 {
		return nil, false
	}
	data := javaText(args[0])
	algorithm, ok := args[1].(string)
	if !ok || utf16Len(data) > maxIntrinsicStr {
		return nil, false
	}
	return digest(data, algorithm)
}

// digest returns a hash in hexadecimal. The names of algorithms are case-sensitive.
func digest(data, algorithm string) (any, bool) {
	var sum []byte
	switch algorithm {
	case "MD5":
		h := md5.Sum([]byte(data)) //nolint:gosec // the definition selects it
		sum = h[:]
	case "SHA-1":
		h := sha1.Sum([]byte(data)) //nolint:gosec // the definition selects it
		sum = h[:]
	case "SHA-256":
		h := sha256.Sum256([]byte(data))
		sum = h[:]
	case "SHA-384":
		h := sha512.Sum384([]byte(data))
		sum = h[:]
	case "SHA-512":
		h := sha512.Sum512([]byte(data))
		sum = h[:]
	default:
		return nil, false
	}
	return hex.EncodeToString(sum), true
}

// jsonMerge merges only the top level: Step Functions has no deep mode, and treats every third argument except true as false.
func jsonMerge(_ *call, args []any) (any, bool) {
	if len(args) != 3 || args[2] == true {
		return nil, false
	}
	a, ok1 := args[0].(*value.Object)
	b, ok2 := args[1].(*value.Object)
	if !ok1 || !ok2 {
		return nil, false
	}
	out := a.Clone()
	for i := range b.Len() {
		out.Set(b.At(i))
	}
	return out, true
}

// stringToJSON returns null for blank text.
func stringToJSON(_ *call, args []any) (any, bool) {
	s, ok := stringArg(args, 1)
	if !ok {
		return nil, false
	}
	if strings.TrimSpace(s) == "" {
		return nil, true
	}
	return parseJSON(s)
}

// parseJSON is value.Parse, but returns 0 for -0, as the parser of Step Functions does.
func parseJSON(s string) (any, bool) {
	v, err := value.Parse([]byte(s))
	if v == value.Number("-0") {
		v = value.Number("0")
	}
	return v, err == nil
}

// jsonToString returns the JSON text of any value.
func jsonToString(_ *call, args []any) (any, bool) {
	if len(args) != 1 {
		return nil, false
	}
	return value.Text(args[0]), true
}

// mathRandom returns an integer from start to end, excluding end. With a seed, the result depends only on the seed.
func mathRandom(c *call, args []any) (any, bool) {
	if len(args) != 2 && len(args) != 3 {
		return nil, false
	}
	from, ok1 := truncated(args[0])
	to, ok2 := truncated(args[1])
	if !ok1 || !ok2 || from >= to {
		return nil, false
	}
	source := rand.Source(nil)
	if len(args) == 3 {
		seed, ok := truncated(args[2])
		if !ok {
			return nil, false
		}
		source = rand.NewPCG(uint64(seed), 0)
	} else {
		source = c.scope.random()
	}
	return value.Int(from + rand.New(source).Int64N(to-from)), true //nolint:gosec // not a secret
}

// mathAdd rounds both numbers half up, then adds them. The result must fit in 32 bits.
func mathAdd(_ *call, args []any) (any, bool) {
	if len(args) != 2 {
		return nil, false
	}
	a, ok1 := rounded(args[0])
	b, ok2 := rounded(args[1])
	sum := a + b
	return value.Int(sum), ok1 && ok2 && sum >= math.MinInt32 && sum <= math.MaxInt32
}

// rounded rounds a number half up. The result must fit in 32 bits.
func rounded(v any) (int64, bool) {
	n, ok := v.(value.Number)
	if !ok {
		return 0, false
	}
	f := math.Floor(n.Float64() + 0.5)
	return int64(f), f >= math.MinInt32 && f <= math.MaxInt32
}

// stringSplit splits at each character of the delimiter, and omits empty parts.
func stringSplit(_ *call, args []any) (any, bool) {
	s, ok := stringArg(args, 2)
	if !ok {
		return nil, false
	}
	delimiters, ok := args[1].(string)
	if !ok {
		return nil, false
	}
	out := []any{}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(delimiters, r) }) {
		out = append(out, part)
	}
	return out, true
}

// newUUID returns a UUID of version 4 from a source of random numbers.
func newUUID(source rand.Source) string {
	var b uuid.UUID
	hi, lo := source.Uint64(), source.Uint64()
	for i := range 8 {
		b[i], b[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return b.String()
}

// format replaces each {} in a template by an argument. Braces and backslashes are escaped with a backslash.
func format(c *call, args []any) (any, bool) {
	if len(args) == 0 {
		return nil, false
	}
	template, ok := args[0].(string)
	if !ok {
		return nil, false
	}
	var b strings.Builder
	next := 1
	for i := 0; i < len(template); i++ {
		switch ch := template[i]; {
		case ch == '\\' && i+1 < len(template):
			i++
			b.WriteByte(template[i])
		case ch == '{' && i+1 < len(template) && template[i+1] == '}':
			if next >= len(args) {
				return nil, false
			}
			b.WriteString(c.formatArg(args, next))
			next++
			i++
		case ch == '{' || ch == '}':
			return nil, false
		default:
			b.WriteByte(ch)
		}
	}
	return b.String(), next == len(args)
}

// formatArg formats a result of States.StringToJson as JSON, and any other value like Java.
func (c *call) formatArg(args []any, i int) string {
	if inner := c.args[i].call; inner != nil && inner.name == "States.StringToJson" {
		return value.Text(args[i])
	}
	return javaText(args[i])
}
