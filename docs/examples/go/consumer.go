// Reads all summary records of a topic and merges them by pair: counts, p50 and p99 in nanoseconds.
//
//	go run . BOOTSTRAP [TOPIC]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const recordType = "distributed_trace.v1.SummaryRecord"

// What is needed of a record; docs/records.md has all fields.
type record struct {
	SrcNode string `json:"src_node"`
	DstNode string `json:"dst_node"`
	Probe   string `json:"probe"`
	Hdr     string `json:"hdr"`
}

func main() {
	log.SetFlags(0)
	bootstrap, topic := os.Args[1], "distributedTrace.summaries"
	if len(os.Args) > 2 {
		topic = os.Args[2]
	}
	ctx := context.Background()
	// No group: all partitions from their beginning.
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		log.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	seen := map[string]bool{}
	totals := map[string]*hdrhistogram.Histogram{}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		fetches.EachRecord(func(message *kgo.Record) {
			if message.Offset+1 >= left[message.Partition] {
				delete(left, message.Partition)
			}
			// Foreign messages and tombstones are none of ours; a repeat has the same id.
			id := header(message, "ce_id")
			if header(message, "ce_type") != recordType || message.Value == nil || seen[id] {
				return
			}
			seen[id] = true
			if err := add(totals, message.Value); err != nil {
				log.Fatal(err)
			}
		})
	}
	pairs := make([]string, 0, len(totals))
	for pair := range totals {
		pairs = append(pairs, pair)
	}
	sort.Strings(pairs)
	for _, pair := range pairs {
		total := totals[pair]
		fmt.Printf("%s n=%d p50=%d p99=%d\n", pair, total.TotalCount(), nearestRank(total, 50), nearestRank(total, 99))
	}
}

func add(totals map[string]*hdrhistogram.Histogram, value []byte) error {
	var r record
	// Hdr is empty where nothing was received.
	if err := json.Unmarshal(value, &r); err != nil || r.Hdr == "" {
		return err
	}
	decoded, err := hdrhistogram.Decode([]byte(r.Hdr))
	if err != nil {
		return err
	}
	pair := fmt.Sprintf("%s -> %s %s", r.SrcNode, r.DstNode, r.Probe)
	total, ok := totals[pair]
	if !ok {
		total = hdrhistogram.New(1, 60_000_000_000, 2)
		totals[pair] = total
	}
	if dropped := total.Merge(decoded); dropped > 0 {
		return fmt.Errorf("%s: %d samples are beyond 60 s", pair, dropped)
	}
	return nil
}

// As in the records themselves: the smallest value that so many per cent of the samples do not exceed. The library rounds
// the rank; this asks for exactly the one that is meant.
func nearestRank(h *hdrhistogram.Histogram, percent int64) int64 {
	rank := (percent*h.TotalCount() + 99) / 100
	return h.ValueAtQuantile(100 * float64(rank) / float64(h.TotalCount()))
}

func header(message *kgo.Record, name string) string {
	for _, header := range message.Headers {
		if header.Key == name {
			return string(header.Value)
		}
	}
	return ""
}
