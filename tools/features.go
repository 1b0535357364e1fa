// Writes src/pilothouse/api/facts/features.json: what kube-apiserver's own feature gates say of themselves.
// Beside built peers (./dev peers):  cd .peers/kubernetes && mkdir -p features && cp ../../tools/features.go features/ && go run ./features
package main

import (
	"encoding/json"
	"fmt"
	"sort"

	"k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	_ "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func text(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

func main() {
	gate := feature.DefaultMutableFeatureGate
	all := gate.GetAll()
	needs := gate.Dependencies()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, string(name))
	}
	sort.Strings(names)
	fmt.Println("{")
	for i, name := range names {
		spec, comma := all[featuregate.Feature(name)], ","
		if i == len(names)-1 {
			comma = ""
		}
		needed := append([]featuregate.Feature{}, needs[featuregate.Feature(name)]...)
		fmt.Printf("%q: [%t, %q, %t, %s]%s\n", name, spec.Default, string(spec.PreRelease), spec.LockToDefault, text(needed), comma)
	}
	fmt.Println("}")
}
