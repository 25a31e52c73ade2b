package expr

import (
	"crypto/md5"  //nolint:gosec // States.Hash offers it
	"crypto/sha1" //nolint:gosec // States.Hash offers it
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

// Limits of the intrinsic functions, as the developer guide has them.
const (
	maxRangeItems   = 1000
	maxIntrinsicStr = 10_000
)

// call is what a function may know beside its arguments.
type call struct {
	*Intrinsic
	scope *Scope
}

// intrinsicFunc evaluates a function; false says that its arguments are not right, in number, type or value.
type intrinsicFunc func(c *call, args []any) (any, bool)

var intrinsics map[string]intrinsicFunc

func init() { // not in the declaration, for States.Format looks at calls in its arguments
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

// arrayArg is the array that comes first when there are n arguments.
func arrayArg(args []any, n int) ([]any, bool) {
	if len(args) != n {
		return nil, false
	}
	a, ok := args[0].([]any)
	return a, ok
}

// stringArg is the string that comes first when there are n arguments.
func stringArg(args []any, n int) (string, bool) {
	if len(args) != n {
		return "", false
	}
	s, ok := args[0].(string)
	return s, ok
}

// arrayPartition cuts the size off after the point, though the developer guide says that it is rounded: so AWS answers.
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

// partition cuts an array in parts that share its memory; the last one may be shorter.
func partition(a []any, size int64) []any {
	out := []any{}
	for len(a) > 0 {
		n := min(size, int64(len(a)))
		out = append(out, a[:n:n])
		a = a[n:]
	}
	return out
}

// arrayContains compares texts: on Step Functions the string "true" is found for true, and objects differ by the order
// of their keys.
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

// arrayRange includes its end when the step meets it. Fractions are cut off, and a step of nothing is refused, after that.
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

// arrayGetItem gives null for any index of an empty array, as Step Functions does.
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

// arrayUnique gives Java's order and not the first appearance's: that is what the executions on AWS showed.
func arrayUnique(_ *call, args []any) (any, bool) {
	a, ok := arrayArg(args, 1)
	if !ok {
		return nil, false
	}
	return javaSet(a), true
}

// base64Encode counts its limit in UTF-16 units, as Java does.
func base64Encode(_ *call, args []any) (any, bool) {
	s, ok := stringArg(args, 1)
	if !ok || utf16Len(s) > maxIntrinsicStr {
		return nil, false
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), true
}

// base64Decode passes over what is no base64 character, and takes missing padding, as Step Functions does.
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
	if len(clean)%4 == 1 { // six bits make no byte
		clean = clean[:len(clean)-1]
	}
	out, err := base64.RawStdEncoding.DecodeString(clean)
	if err != nil {
		return nil, false
	}
	return strings.ToValidUTF8(string(out), "\uFFFD"), true
}

// hashIntrinsic takes any data: what is no string is hashed as Java would print it.
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

// digest is a hash in hexadecimal; names of algorithms are told apart by case.
func digest(data, algorithm string) (any, bool) {
	var sum []byte
	switch algorithm {
	case "MD5":
		h := md5.Sum([]byte(data)) //nolint:gosec // the definition asks for it
		sum = h[:]
	case "SHA-1":
		h := sha1.Sum([]byte(data)) //nolint:gosec // the definition asks for it
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

// jsonMerge is shallow: Step Functions has no deep mode, and takes anything but true for "shallow".
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

// stringToJSON gives null for a blank text.
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

// parseJSON is value.Parse with a minus zero made plain, as Step Functions' own parser has it.
func parseJSON(s string) (any, bool) {
	v, err := value.Parse([]byte(s))
	if v == value.Number("-0") {
		v = value.Number("0")
	}
	return v, err == nil
}

// jsonToString shows any value, strings in quotes.
func jsonToString(_ *call, args []any) (any, bool) {
	if len(args) != 1 {
		return nil, false
	}
	return value.Text(args[0]), true
}

// mathRandom draws from start to end, end not included. A seed makes the result depend on the seed alone.
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
	return value.Int(from + rand.New(source).Int64N(to-from)), true //nolint:gosec // no secret
}

// mathAdd rounds both halves up at .5, then adds in 32 bits.
func mathAdd(_ *call, args []any) (any, bool) {
	if len(args) != 2 {
		return nil, false
	}
	a, ok1 := rounded(args[0])
	b, ok2 := rounded(args[1])
	sum := a + b
	return value.Int(sum), ok1 && ok2 && sum >= math.MinInt32 && sum <= math.MaxInt32
}

// rounded is a number rounded half up, in 32 bits.
func rounded(v any) (int64, bool) {
	n, ok := v.(value.Number)
	if !ok {
		return 0, false
	}
	f := math.Floor(n.Float64() + 0.5)
	return int64(f), f >= math.MinInt32 && f <= math.MaxInt32
}

// stringSplit splits at each of the delimiter's characters and drops what is empty.
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

// newUUID makes a version 4 UUID from a source of randomness.
func newUUID(source rand.Source) string {
	var b uuid.UUID
	hi, lo := source.Uint64(), source.Uint64()
	for i := range 8 {
		b[i], b[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return b.String()
}

// format fills {} in a template. Braces and backslashes are escaped by a backslash.
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

// formatArg shows what States.StringToJson made as JSON and all else as Java does.
func (c *call) formatArg(args []any, i int) string {
	if inner := c.args[i].call; inner != nil && inner.name == "States.StringToJson" {
		return value.Text(args[i])
	}
	return javaText(args[i])
}
