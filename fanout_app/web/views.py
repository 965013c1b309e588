from aiohttp import web
import json, base64
from fanout_app.core.requests import *
from fanout_app.core.lease import Answer
def routes(runtime, tokens, metrics, options):
    async def pull(request):
        body=json.loads(await request.text() or "{}")
        a=await runtime.pull(Pull(client=body.get("client","x"),max_messages=body.get("max_messages",1),ack_wait=body.get("ack_wait_ms",30000)/1000), wait=body.get("wait_ms",20000)/1000)
        if not isinstance(a,Answer): return web.Response(status=204,headers={"Fanout-Empty":a.value})
        return web.json_response({"batch":tokens.batch(a),"messages":[{"lease":t,"partition":r.partition,"offset":m.offset,"value":m.value.decode()} for r in a.runs for t,m in zip(tokens.leases(r),r.messages)]})
    async def settle(request):
        body=json.loads(await request.text() or "{}")
        o=await runtime.settle(Settle(ack=[Entry(token=t,ref=tokens.read(t)) for t in body.get("ack",[])]))
        return web.json_response({"acked":o.acked,"results":[[str(t),s.value] for t,s in o.results]})
    async def status(request): return web.json_response([runtime.status(),runtime.partitions_status()])
    return [web.post("/v1/pull",pull),web.post("/v1/settle",settle),web.get("/v1/status",status)]
