// Writes src/pilothouse/api/facts/gotypes.json: the fields whose Go types have names that their JSON form does not tell, by struct. Each is
// the type, what is in it, and so on; upstream's decoding errors name them.
// Beside built peers (./dev peers):  cd .peers/kubernetes && mkdir -p gotypes && cp ../../tools/gotypes.go gotypes/ && go run ./gotypes
package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

type pair struct{ name, levels string }

var found = map[string][]pair{}

func bare(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// levels of a field's type; whether one of them is a named type that is no struct.
func levels(t reflect.Type) (names []string, named bool) {
	for t = bare(t); ; t = bare(t.Elem()) {
		names = append(names, strings.ReplaceAll(t.String(), "*", ""))
		named = named || t.PkgPath() != "" && t.Kind() != reflect.Struct || t.Kind() == reflect.Map && t.Key().PkgPath() != ""
		inner := t.Kind() == reflect.Map || t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8
		if !inner {
			visit(t)
			return names, named
		}
	}
}

func visit(t reflect.Type) {
	parts := strings.Split(t.PkgPath(), "/")
	if t.Kind() != reflect.Struct || len(parts) < 2 {
		return
	}
	name := parts[len(parts)-2] + "/" + parts[len(parts)-1] + "." + t.Name()
	if _, seen := found[name]; seen {
		return
	}
	found[name] = nil
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || tag == "-" {
			continue
		}
		names, named := levels(f.Type)
		if named && tag != "" {
			found[name] = append(found[name], pair{tag, strings.Join(names, " ")})
		}
	}
}

func main() {
	s := scheme.Scheme
	for _, add := range []func(*runtime.Scheme) error{apiextensions.AddToScheme, apiregistration.AddToScheme, auditv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	for gvk, t := range s.AllKnownTypes() {
		if gvk.Version != "__internal" {
			visit(t)
		}
	}
	structs := []string{}
	for name, fields := range found {
		if len(fields) > 0 {
			structs = append(structs, name)
		}
	}
	sort.Strings(structs)
	lines := []string{}
	for _, name := range structs {
		fields := []string{}
		for _, f := range found[name] {
			key, _ := json.Marshal(f.name)
			value, _ := json.Marshal(f.levels)
			fields = append(fields, string(key)+":"+string(value))
		}
		lines = append(lines, fmt.Sprintf("%q:{%s}", name, strings.Join(fields, ",")))
	}
	fmt.Println("{\n" + strings.Join(lines, ",\n") + "\n}")
}
