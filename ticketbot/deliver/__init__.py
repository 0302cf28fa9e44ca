"""Who is told what, and did it arrive?

rule.py      what is said about a picture, and which category a ticket gets   (pure)
outbox.py    events into the outbox, in the transaction that made them true
claim.py     which answers may go now, and to whom
breaker.py   is this endpoint well?                                          (pure)
preset.py    the same on a ticket system's own API, in several steps
senders.py   which thread sends what, and what next
send.py      sign, POST, write down what came back
retry.py     should it try again? And when?                                  (pure)
sign.py      Standard Webhooks: sign and verify                              (pure; receivers may copy it)
keys.py      which secrets sign for an endpoint today
alerts.py    what a person should look at
admin.py     pause, redeliver, release, enable, rotate
"""
