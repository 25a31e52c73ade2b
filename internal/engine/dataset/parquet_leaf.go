package dataset

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/rayorch/rayorch/internal/value"
)

// leaf converts a value to JSON. Dates and times become ISO 8601 strings, as everywhere in the States Language; decimals become numbers
// with all their digits; bytes that are not UTF-8 become base64.
func leaf(t parquet.Type, v parquet.Value) any {
	if v.IsNull() {
		return nil
	}
	switch l := logical(t).(type) {
	case *format.DecimalType:
		if l.Scale >= 0 && l.Scale <= maxScale {
			return decimal(v, int(l.Scale))
		}
	case *format.DateType:
		return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
	case *format.TimeType:
		return time.Unix(0, ticks(v)*int64(unit(&l.Unit))).UTC().Format("15:04:05.999999999")
	case *format.TimestampType:
		return timestamp(ticks(v), unit(&l.Unit), l.IsAdjustedToUTC)
	case *format.UUIDType:
		if b := v.ByteArray(); len(b) == 16 {
			return uuid.UUID(b).String()
		}
	case *format.IntType:
		if !l.IsSigned {
			return unsigned(v)
		}
	case *format.JsonType:
		if j, err := value.Parse(v.ByteArray()); err == nil {
			return j
		}
	}
	return physical(v)
}

// physical converts a value by its physical type, if it has no logical type that JSON can express.
func physical(v parquet.Value) any {
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return value.Int(int64(v.Int32()))
	case parquet.Int64:
		return value.Int(v.Int64())
	case parquet.Int96: // a timestamp of Hive or Impala: nanoseconds of the day, and the Julian day
		i := v.Int96()
		return timestamp((int64(i[2])-2440588)*86400e9+int64(uint64(i[0])|uint64(i[1])<<32), time.Nanosecond, true)
	case parquet.Float:
		return float(float64(v.Float()), 32)
	case parquet.Double:
		return float(v.Double(), 64)
	}
	return text(v.ByteArray())
}

// float converts a number with the precision of its column. Infinities and NaN become null, because JSON does not have them.
func float(f float64, bits int) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return value.Number(strconv.FormatFloat(f, 'g', -1, bits))
}

// text returns bytes as a string if they are valid UTF-8, else in base64. It does not rely on the type of the column, because older
// writers do not mark strings as UTF-8.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// ticks returns a time or timestamp as a number of its unit.
func ticks(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func unit(u *format.TimeUnit) time.Duration {
	switch u.Value.(type) {
	case *format.NanoSeconds:
		return time.Nanosecond
	case *format.MicroSeconds:
		return time.Microsecond
	}
	return time.Millisecond
}

func unsigned(v parquet.Value) value.Number {
	if v.Kind() == parquet.Int32 {
		return value.Int(int64(v.Uint32()))
	}
	return value.Number(strconv.FormatUint(v.Uint64(), 10))
}

// timestamp formats a timestamp. If it is not UTC, it is a local time without a known zone, and the result has no zone.
func timestamp(n int64, unit time.Duration, utc bool) string {
	perSecond := int64(time.Second / unit)
	seconds, rest := n/perSecond, n%perSecond
	layout := "2006-01-02T15:04:05.999999999"
	if utc {
		layout += "Z"
	}
	return time.Unix(seconds, rest*int64(unit)).UTC().Format(layout)
}

// maxScale is the maximum scale of a decimal, so that a malicious file cannot cause a number with very many digits.
const maxScale = 1000

// decimal converts an unscaled integer to a number with scale digits after the decimal point.
func decimal(v parquet.Value, scale int) value.Number {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default:
		b := v.ByteArray() // big-endian two's complement
		n.SetBytes(b)
		if len(b) > 0 && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
		}
	}
	digits := new(big.Int).Abs(n).String()
	digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return value.Number(digits)
}
