"""An echo bot of python-telegram-bot, unchanged, against a Bot API at another address.

  python telegram_ptb.py URL TOKEN    answers `echo: TEXT` in bold to each message, and ends after the message `end`
"""

import asyncio
import sys

from telegram import MessageEntity
from telegram.ext import ApplicationBuilder, MessageHandler, filters

url, token = sys.argv[1:]


async def main():
    done = asyncio.Event()

    async def answer(update, _context):
        await update.message.chat.send_action("typing")
        text = f"echo: {update.message.text}"
        await update.message.reply_text(text, entities=[MessageEntity("bold", 0, 4)], do_quote=False)
        if update.message.text == "end":
            done.set()

    app = ApplicationBuilder().token(token).base_url(f"{url}/bot").base_file_url(f"{url}/file/bot").build()
    app.add_handler(MessageHandler(filters.TEXT, answer))
    async with app:
        await app.start()
        await app.updater.start_polling(timeout=2)
        await asyncio.wait_for(done.wait(), 60)
        await app.updater.stop()
        await app.stop()


asyncio.run(main())
