import time, cProfile, pstats, threading
from tests.org.house import house, user, group
import scimd.org.people as P
async def test_perf(database_url):
    async with house(database_url) as acme:
        for mode in ("never","immediate"):
            src = await acme.source("s"+mode, invite=mode)
            ctx = acme.as_scim(src)
            def mk(a,b): return [user(f"{mode}{n}", mail=f"{mode}{n}@acme.example", name={"givenName":"Ann","familyName":"Lee%d"%n}, title="Engineer", phoneNumbers=[{"value":"+1 555 %d"%n,"type":"work"}], active=True) for n in range(a,b)]
            batches=[mk(i*200,(i+1)*200) for i in range(12)]
            await acme.push(*batches[0], ctx=ctx)
            t=time.perf_counter();c=time.process_time()
            for b in batches[1:11]:
                await acme.push(*b, ctx=ctx)
            print('cpu', 2000/(time.process_time()-c));dt=time.perf_counter()-t
            print(f"{mode}: {2000/dt:.0f} people/s")
            t=time.perf_counter()
            for b in batches[1:11]:
                await acme.push(*b, ctx=ctx)
            print(f"   unchanged: {2000/(time.perf_counter()-t):.0f} people/s")
            t=time.perf_counter();c=time.process_time()
            for n in range(200):
                await acme.create(f"{mode}single{n}", ctx=ctx)
            print('cpu', 200/(time.process_time()-c))
            print(f"   single create: {200/(time.perf_counter()-t):.0f}/s")
        prof=cProfile.Profile()
        bb=mk(5000,5200)
        def body(tx):
            r = P.record_users(tx,bb); return r
        orig=acme.door._settle
        def run(conn): pass
        def wrapped(tx):
            prof.enable()
            return P.record_users(tx,bb)
        def st(tx):
            orig(tx)
        acme.door._settle=st
        we=acme.door._write_events
        def w2(tx):
            we(tx); prof.disable()
        acme.door._write_events=w2
        await acme.run(wrapped, ctx)
        pstats.Stats(prof).sort_stats("cumulative").print_stats(60)
