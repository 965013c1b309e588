// Package fanout is a client for fanout, which makes a work queue over HTTP of a Kafka topic.
//
//	client, err := fanout.New([]string{"http://127.0.0.1:6066"}, fanout.Options{})
//	...
//	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
//	defer stop()
//	err = client.Work(ctx, 20, func(ctx context.Context, message fanout.Message) error {
//		return send(ctx, message.Value)
//	})
//
// A message is acked when its handler returns nil, and nacked when it returns an error; its lease is extended until
// then. Once ctx ends no more messages are taken, those that are being handled are brought to an end and settled. A
// request that is not answered is sent again, to the other addresses in turn, until it is.
package fanout
