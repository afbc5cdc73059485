"""Words that say little of an image and much of the language, by language, the most frequent first; own lists.

Letters that few languages have stand among them: a caption that holds one holds evidence as of a frequent word.
"""

from collections.abc import Mapping
from types import MappingProxyType

_LISTS = {
    "English": (
        "the a of and in on with is to at an for by from it are his her that as this while near its two their he she"
        " who into over up out next some there has be was or one not other down off through you your my we our they"
        " behind front under against around between beside after before about these those them him when which what"
        " were been have had do does did can will would could should more most very just so than then too also no all"
        " any each both such if but how where why i me us s t re ll ve don doesn isn aren"
    ),
    "German": (
        "der die und in ein eine mit auf einem einer von im den das des zu ist dem für an einen bei am sich sind nicht"
        " aus als auch es vor nach über wird zwei um wie zum zur hat oder ihr sein seine seinem seiner ihre ihrem ihrer"
        " eines neben während er sie unter durch hinter zwischen dass wenn werden haben war kann noch nur man einige"
        " mehrere ß ü ä ö"
    ),
    "French": (
        "de la le un une et les des en dans à du sur avec est au pour par qui il sont deux que aux se son sa ses ce"
        " cette elle ou plus pas ne leur leurs devant près sous l d qu derrière entre pendant tandis être nous"
        " vous ils elles on y comme mais fait très tout é è ê ç œ"
    ),
    "Spanish": (
        "de la el en un una y con los las del que se es al por para su sus lo sobre está están dos como más a son"
        " mientras hay junto no o le este esta muy desde delante frente detrás entre cerca unos unas pero también"
        " cuando ser ha ñ ó í á é"
    ),
    "Italian": (
        "di il la un una e in con che del della su le i per da è al nel sono uno dei si alla gli sul nella sulla due a"
        " mentre lo l delle degli come non ha davanti loro questo questa vicino accanto tra dal dalla sotto dietro"
        " anche più ò ù à è"
    ),
    "Portuguese": (
        "de um uma a o e em com do da no na que os as para ao se por é dos das mais sobre seu sua está estão são não"
        " dois duas como à pelo pela enquanto ou nos nas num numa ele ela frente perto entre também muito ser foi ã õ ç"
        " ê"
    ),
    "Dutch": (
        "een de van in het en op met aan is voor te zijn bij die dat er om naar door twee uit naast over zit staat"
        " tegen ook ze of haar wordt als niet nog tot hun terwijl deze hij achter onder tussen worden heeft wat dan"
        " maar kan"
    ),
    "Swedish": (
        "en i på och med ett av som är för till den det att sig från två vid de står sitter över när bredvid har inte"
        " om hans framför bakom under mellan kan ska eller så också ha å ä ö"
    ),
    "Danish or Norwegian": (
        "en og på i et med af av som er til for der det den sig seg fra to ved de har ikke om over ut ud står sidder"
        " sitter mens foran bak bag mellem mellom under kan eller også å ø æ"
    ),
    "Polish": (
        "na w i się do jest ze przez to nad przed po od dla przy pod jak nie są ale który która jego jej za dwóch"
        " dwa dwie oraz lub że ma być ł ą ę ż ś ć ń ź"
    ),
    "Slavic (such as Czech)": (
        "na se je do za ve po pro ale před nad pod jsou dva který která jako při od své nebo že ze si sa"
        " so zo pri sú ako ř ě ů č ž š ý ľ á í é"
    ),
    "Turkish": (
        "bir ve bu ile için üzerinde olan iki da de çok en gibi var içinde yanında önünde daha ne kadar olarak ya veya"
        " değil her ı ş ğ ç ü ö"
    ),
    "Indonesian or Malay": (
        "di yang dan dengan sebuah seorang dari untuk ke ini itu pada dua sedang adalah para atas dalam tidak oleh akan"
        " ada atau seperti bisa dapat"
    ),
    "Romanian": (
        "de și în o un cu pe la din a care se este sunt pentru doi două nu mai sau al ale lui ce lângă nişte niște iar"
        " fi ș ț ă î ş ţ"
    ),
    "Hungarian": "a az egy és van nem hogy is két egyik mellett meg ez volt vagy alatt előtt csak de ő ű ö ü á é í",
    "Finnish": (
        "ja on joka jossa sekä kanssa vieressä kaksi ovat ei se että hän edessä päällä kuin myös tai ole voi jos mutta"
        " ä ö"
    ),
    "Vietnamese": "một và của trên có là các với trong đang người cho được những này ở đ ơ ư ạ ế",
}

STOP_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {language: tuple(dict.fromkeys(words.split())) for language, words in _LISTS.items()}
)
