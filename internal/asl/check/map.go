package check

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// mapTable also accepts Iterator and Parameters, the older names of ItemProcessor and ItemSelector.
func mapTable() fieldTable {
	count := fieldRule{check: integer(0, 0), expression: true}
	return stateTable(nil,
		[]group{
			{fields: []string{"ItemProcessor", "Iterator"}, must: true},
			{fields: []string{"MaxConcurrency", "MaxConcurrencyPath"}},
			{fields: []string{"ToleratedFailurePercentage", "ToleratedFailurePercentagePath"}},
			{fields: []string{"ToleratedFailureCount", "ToleratedFailureCountPath"}},
		},
		inputOutput, assign, transition, parameters, results, rules{
			"ItemProcessor": {check: isObject}, "Iterator": {check: isObject}, "Label": {check: isString},
			"ItemsPath": {check: referencePath}, "Items": {check: items, expression: true}, "ItemSelector": {check: template},
			"ItemReader": {check: itemReader}, "ItemBatcher": {check: itemBatcher}, "ResultWriter": {check: resultWriter},
			"MaxConcurrency": count, "MaxConcurrencyPath": {check: referencePath},
			"ToleratedFailureCount": count, "ToleratedFailureCountPath": {check: referencePath},
			"ToleratedFailurePercentage":     {check: number(0, 100), expression: true},
			"ToleratedFailurePercentagePath": {check: referencePath},
		})
}

// items accepts an array, or (in newer definitions) an object. Both can contain expressions.
func items(a at, v any) {
	switch v.(type) {
	case []any, *value.Object:
		jsonataTemplate(a, v)
	default:
		a.schema("Expected value of type [ARRAY]")
	}
}

// mapState checks the processor under both of its names: if both exist, each can have errors.
func (c *checker) mapState(s stateAt) {
	distributed := false
	for _, name := range []string{"ItemProcessor", "Iterator"} {
		v, _ := s.state.Get(name)
		processor, ok := v.(*value.Object)
		if !ok {
			continue
		}
		inner := s.scope
		inner.loc, inner.outer = s.loc+"/"+name, s.scope.visible
		config := c.processorConfig(&inner, processor)
		distributed = distributed || config
		if config {
			inner.outer = nil // a child execution does not see the variables of its parent
		}
		c.subMachine(inner, processor, processorFields)
	}
	if !distributed {
		c.inlineOnly(s)
	}
	c.label(s)
}

// processorConfig reports whether the Map is distributed. If so, it sets inner.express to the type of the child executions.
func (c *checker) processorConfig(inner *scope, processor *value.Object) (distributed bool) {
	v, _ := processor.Get("ProcessorConfig")
	config, _ := v.(*value.Object)
	if config == nil {
		return false
	}
	loc := inner.loc + "/ProcessorConfig"
	mode, _ := config.Get("Mode")
	distributed = mode == "DISTRIBUTED"
	c.fields(loc, config, configTable(distributed), jsonPath)
	if distributed && inner.express {
		c.schema(loc+"/Mode", "The field 'Mode' with value 'DISTRIBUTED' is not supported inside 'EXPRESS' state machines")
	}
	if kind, _ := config.Get("ExecutionType"); distributed {
		inner.express = kind == stepfn.Express
	}
	return distributed
}

// configTable returns the fields of ProcessorConfig. Only distributed Maps start executions, so that only they have
// ExecutionType.
func configTable(distributed bool) fieldTable {
	t := fieldTable{rules: rules{"Mode": {check: oneOf("INLINE", "DISTRIBUTED")}}}
	if distributed {
		t.required = []string{"ExecutionType"}
		t.rules["ExecutionType"] = fieldRule{check: oneOf(stepfn.Standard, stepfn.Express)}
	}
	return t
}

// inlineOnly reports the fields that an inline Map does not have.
func (c *checker) inlineOnly(s stateAt) {
	for _, name := range []string{"ItemReader", "ResultWriter"} {
		if s.state.Has(name) {
			c.schema(s.loc, "Field '"+name+"' is not supported")
		}
	}
}

// ForbiddenInName reports whether a name contains characters that AWS does not allow in names that become part of an ARN:
// some punctuation, white space, control characters, and code points that Unicode reserves.
func ForbiddenInName(name string) bool {
	return strings.ContainsAny(name, "<>{}[]?*\"#%\\^|~`$&,;:/") || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f && r <= 0xa0 || r == '\u2028' || r == '\u2029' || r == utf8.RuneError || r >= 0xfffe && r <= 0xffff
	})
}

// label checks Label, which becomes part of the map run's ARN.
func (c *checker) label(s stateAt) {
	v, ok := s.state.Get("Label")
	label, isText := v.(string)
	if !ok || !isText {
		return
	}
	loc := s.loc + "/Label"
	switch {
	case label == "":
		c.add(codeLabel, loc, "Label cannot be empty")
	case utf8.RuneCountInString(label) > maxLabel:
		c.add(codeLabel, loc, fmt.Sprintf("Label '%s' exceeds the %d-character limit allowed by the service", label, maxLabel))
	case ForbiddenInName(label):
		c.add(codeLabel, loc, fmt.Sprintf("Invalid label name '%s': the label name contains invalid characters.", label))
	case c.labels[label]:
		c.add(codeSameLabel, loc, "Duplicate Label name: "+label)
	}
	c.labels[label] = true
}

// batchFields are the fields of ItemBatcher.
var batchFields = fieldTable{
	oneOf: []group{
		{fields: []string{"MaxItemsPerBatch", "MaxItemsPerBatchPath"}},
		{fields: []string{"MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"}},
	},
	rules: rules{
		"BatchInput":       {check: template},
		"MaxItemsPerBatch": {check: integer(0, 0), expression: true}, "MaxItemsPerBatchPath": {check: referencePath},
		"MaxInputBytesPerBatch": {check: integer(0, 0), expression: true}, "MaxInputBytesPerBatchPath": {check: referencePath},
	},
}

func itemBatcher(a at, v any) {
	if o, ok := v.(*value.Object); ok {
		a.c.fields(a.loc, o, batchFields, a.lang)
	} else {
		a.schema("Expected value of type [OBJECT]")
	}
}

func itemReader(a at, v any) {
	o, ok := v.(*value.Object)
	if !ok {
		a.schema("Expected value of type [OBJECT]")
		return
	}
	a.c.otherLanguage(a.loc, o, a.lang)
	a.c.fields(a.loc, o, fieldTable{
		ofState: true, required: []string{"Resource"},
		rules: rules{
			"Resource": {check: readerResource}, "ReaderConfig": {check: readerConfig},
			"Parameters": {check: template}, "Arguments": {check: jsonataTemplate},
		},
	}, a.lang)
}

// readerResource accepts the actions of S3 that list or read objects. The engine also reads from directories and
// S3-compatible storage through them.
func readerResource(a at, v any) {
	s, _ := v.(string)
	service, action, ok := integration(s)
	if !ok || service != "s3" || action != "getObject" && action != "listObjectsV2" {
		a.schema("The field 'Resource' does not match any of the allowed values")
	}
}

// readerConfig also checks fields that depend on each other: CSVHeaderLocation is required for CSV unless there is a
// manifest, and CSVHeaders if the headers are given.
func readerConfig(a at, v any) {
	o, ok := v.(*value.Object)
	if !ok {
		a.schema("Expected value of type [OBJECT]")
		return
	}
	a.c.fields(a.loc, o, readerTable(o), a.lang)
	kind, _ := o.Get("InputType")
	header, _ := o.Get("CSVHeaderLocation")
	if kind == "CSV" && !o.Has("CSVHeaderLocation") && !o.Has("ManifestType") {
		a.schema("The field 'CSVHeaderLocation' is required")
	}
	if header == "GIVEN" && !o.Has("CSVHeaders") {
		a.schema("These fields are required: [CSVHeaders]")
	}
}

// readerTable returns the fields of ReaderConfig. Those that describe CSV files are not supported if the items are JSON.
func readerTable(o *value.Object) fieldTable {
	t := fieldTable{
		oneOf: []group{{fields: []string{"MaxItems", "MaxItemsPath"}}},
		rules: rules{
			"InputType":      {check: oneOf("CSV", "JSON", "JSONL", "MANIFEST", "PARQUET")},
			"MaxItems":       {check: integer(0, maxReaderMaxItems), expression: true},
			"MaxItemsPath":   {check: referencePath},
			"Transformation": {check: oneOf("NONE", "LOAD_AND_FLATTEN")},
			"ManifestType":   {check: oneOf("ATHENA_DATA", "S3_INVENTORY")},
			"ItemsPointer":   {check: isString},
		},
	}
	if kind, _ := o.Get("InputType"); kind != "JSON" {
		t.rules["CSVHeaderLocation"] = fieldRule{check: oneOf("FIRST_ROW", "GIVEN")}
		t.rules["CSVHeaders"] = fieldRule{check: isArray}
		t.rules["CSVDelimiter"] = fieldRule{check: oneOf("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")}
	}
	return t
}

func resultWriter(a at, v any) {
	o, ok := v.(*value.Object)
	if !ok {
		a.schema("Expected value of type [OBJECT]")
		return
	}
	a.c.otherLanguage(a.loc, o, a.lang)
	a.c.fields(a.loc, o, fieldTable{
		ofState: true,
		rules: rules{
			"Resource": {check: isString}, "Parameters": {check: template}, "Arguments": {check: jsonataTemplate},
			"WriterConfig": {check: writerConfig},
		},
	}, a.lang)
}

func writerConfig(a at, v any) {
	if o, ok := v.(*value.Object); ok {
		a.c.fields(a.loc, o, fieldTable{rules: rules{
			"Transformation": {check: oneOf("NONE", "COMPACT", "FLATTEN")}, "OutputType": {check: oneOf("JSON", "JSONL")},
		}}, a.lang)
	} else {
		a.schema("Expected value of type [OBJECT]")
	}
}
